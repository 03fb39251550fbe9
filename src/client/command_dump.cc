// debug dump-llb: a graph as JSON lines or in dot's language. Needs no daemon.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/text.h"
#include "base/value.h"
#include "client/internal/messages.h"
#include "host/fd.h"
#include "wire/ops.pb.h"

namespace kiln::client {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kDefinitionMax = 512 << 20;

struct Vertex {
  pb::Op op;
  std::string digest;
  const pb::OpMetadata* metadata = nullptr;
};

Result<std::string> read_input(const Invocation& call) {
  const auto& arguments = call.line.arguments();
  if (arguments.empty() || arguments[0] == "-") return host::read_to_end(STDIN_FILENO, kDefinitionMax);
  return host::read_file(arguments[0], kDefinitionMax);
}

// The kind of op is a level of its own, as Go prints it.
Json op_json(const pb::Op& op) {
  Json flat = Json::parse(message_json(op));
  Json out = Json::object(), kind = Json::object();
  if (flat.contains("inputs")) out["inputs"] = flat["inputs"];
  for (const char* name : {"exec", "source", "file", "build", "merge", "diff", "passthrough"}) {
    if (flat.contains(name)) kind[name] = flat[name];
  }
  out["op"] = std::move(kind);
  for (const char* name : {"platform", "constraints"}) {
    if (flat.contains(name)) out[name] = flat[name];
  }
  return out;
}

std::string action_name(const pb::FileAction& action) {
  if (action.has_copy()) return fmt::format("copy{{src={}, dest={}}}", action.copy().src(), action.copy().dest());
  if (action.has_mkfile()) return fmt::format("mkfile{{path={}}}", action.mkfile().path());
  if (action.has_mkdir()) return fmt::format("mkdir{{path={}}}", action.mkdir().path());
  if (action.has_rm()) return fmt::format("rm{{path={}}}", action.rm().path());
  if (action.has_symlink())
    return fmt::format("symlink{{oldpath={}, newpath={}}}", action.symlink().oldpath(), action.symlink().newpath());
  return "";
}

std::pair<std::string, std::string_view> name_and_shape(const Vertex& vertex) {
  const pb::Op& op = vertex.op;
  if (op.has_source()) return {op.source().identifier(), "ellipse"};
  if (op.has_exec()) return {join(op.exec().meta().args(), " "), "box"};
  if (op.has_build()) return {"build", "box3d"};
  if (op.has_merge()) return {"merge", "invtriangle"};
  if (op.has_diff()) return {"diff", "doublecircle"};
  if (op.has_file()) {
    std::vector<std::string> names;
    for (const auto& action : op.file().actions()) names.push_back(action_name(action));
    return {join(names, ","), "note"};
  }
  return {vertex.digest, "plaintext"};
}

std::string edge_label(const pb::Op& op, int input) {
  std::string label;
  for (const auto& mount : op.exec().mounts()) {
    if (mount.input() == input && mount.dest() != "/") label = mount.dest();
  }
  return label;
}

std::string dot_text(const std::vector<Vertex>& vertices) {
  std::string out = "digraph {\n";
  for (const Vertex& vertex : vertices) {
    auto [name, shape] = name_and_shape(vertex);
    out += fmt::format("  {} [label={} shape={}];\n", quote(vertex.digest), quote(name), quote(shape));
  }
  for (const Vertex& vertex : vertices) {
    for (int i = 0; i < vertex.op.inputs_size(); ++i) {
      out += fmt::format("  {} -> {} [label={}];\n", quote(vertex.op.inputs(i).digest()), quote(vertex.digest),
                         quote(edge_label(vertex.op, i)));
    }
  }
  return out + "}\n";
}

}  // namespace

Status run_dump_llb(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(std::string bytes, read_input(call));
  pb::Definition definition;
  if (!definition.ParseFromString(bytes))
    return user_error(Code::kInvalidArgument, "failed to parse input: it is no LLB definition");
  std::vector<Vertex> vertices;
  for (const std::string& dt : definition.def()) {
    Vertex& vertex = vertices.emplace_back();
    if (!vertex.op.ParseFromString(dt)) return user_error(Code::kInvalidArgument, "failed to parse op");
    vertex.digest = Digest::of(dt).str();
    auto metadata = definition.metadata().find(vertex.digest);
    if (metadata != definition.metadata().end()) vertex.metadata = &metadata->second;
  }
  if (call.line.on("dot")) return print(dot_text(vertices));
  std::string out;
  for (const Vertex& vertex : vertices) {
    Json line = {{"Op", op_json(vertex.op)}, {"Digest", vertex.digest}};
    line["OpMetadata"] = vertex.metadata ? Json::parse(message_json(*vertex.metadata)) : Json::object();
    out += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return print(out);
}

Status run_dump_metadata(const Invocation& call) {
  // The store is a SQLite database; its own tool shows it best and safely.
  std::string root = call.line.text("root");
  if (root.empty()) root = places(call.environment).own_root;
  return user_error(Code::kUnimplemented,
                    fmt::format("the metadata of kilnd is a SQLite database under '{}'; look at it "
                                "with: sqlite3 -readonly {}/*.db .dump",
                                root, root));
}

}  // namespace kiln::client
