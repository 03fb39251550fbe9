// Build graphs as clients and frontends send them: decoded, loaded, encoded again.
#include <google/protobuf/stubs/logging.h>

#include "base/check.h"
#include "graph/definition.h"
#include "graph/vertex.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto silenced = google::protobuf::SetLogHandler(nullptr);
  (void)silenced;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)kiln::graph::decode_source_ref(bytes);
  if (auto op = kiln::graph::decode_op(bytes); op.ok()) (void)kiln::graph::decode_op(encode_op(*op));
  auto definition = kiln::graph::decode_definition(bytes);
  if (!definition.ok()) return 0;
  auto graph = kiln::graph::load(*definition, {.default_platform = kiln::Platform::host()});
  if (!graph.ok() || !graph->result) return 0;
  auto again = kiln::graph::definition_of(graph->result, *graph);
  KILN_CHECK(kiln::graph::decode_definition(encode_definition(again)).ok());
  return 0;
}
