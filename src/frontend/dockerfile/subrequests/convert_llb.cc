// The graph of a target as JSON, without building it.
#include <google/protobuf/util/json_util.h>

#include "frontend/dockerfile/subrequests/reports.h"
#include "graph/definition.h"
#include "wire/ops.pb.h"

namespace kiln::frontend::dockerfile {
namespace {

template <typename Message>
Result<std::string> protobuf_json(const std::string& bytes) {
  Message message;
  std::string out;
  if (!message.ParseFromString(bytes) || !google::protobuf::util::MessageToJsonString(message, &out).ok()) {
    return engine_error("an op of ours cannot be printed");
  }
  return out;
}

}  // namespace

Result<SolveResult> convert_to_llb(BuildRun& run, std::stop_token stop) {
  Lowering lowering(run.lower_options(std::nullopt, run.warn_client()));
  KILN_ASSIGN_OR_RETURN(StageState * target, lowering.run(stop));
  KILN_ASSIGN_OR_RETURN(auto definition, graph::build::marshal(target->state, lowering.marshal_options()));
  std::map<std::string, std::string> ops;
  for (const auto& op : definition.ops) {
    KILN_ASSIGN_OR_RETURN(ops[Digest::of(op).str()], protobuf_json<pb::Op>(op));
  }
  content::JsonWriter json(content::JsonLayout::kIndented);
  json.begin_object();
  json.key("def");
  json.begin_object();
  for (const auto& [digest, text] : ops) {
    json.key(digest);
    json.raw(text);
  }
  json.end_object();
  json.key("metadata");
  json.begin_object();
  for (const auto& [digest, metadata] : definition.metadata) {
    json.key(digest);
    write_metadata(json, metadata);
  }
  json.end_object();
  json.key("source");
  graph::Definition only_source;
  only_source.source = definition.source.value_or(graph::SourceMap{});
  pb::Definition source;
  source.ParseFromString(graph::encode_definition(only_source));
  KILN_ASSIGN_OR_RETURN(std::string text, protobuf_json<pb::Source>(source.source().SerializeAsString()));
  json.raw(text);
  json.end_object();
  SolveResult out;
  out.metadata = {{"result.json", json.take()}, {"version", "0.1.0"}};
  return out;
}

}  // namespace kiln::frontend::dockerfile
