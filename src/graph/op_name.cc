#include "graph/internal/op_name.h"

#include <fmt/format.h>

#include "base/text.h"

namespace kiln::graph::internal {
namespace {

// Names of merges hold the names of their inputs; a tower of merges must not grow without end.
constexpr std::size_t kNameBytesMax = 4096;

std::string action_name(const FileAction& action) {
  if (const auto* a = std::get_if<MkdirAction>(&action.action)) return "mkdir " + a->path;
  if (const auto* a = std::get_if<MkfileAction>(&action.action)) return "mkfile " + a->path;
  if (const auto* a = std::get_if<SymlinkAction>(&action.action))
    return "symlink " + a->new_path + " -> " + a->old_path;
  if (const auto* a = std::get_if<RmAction>(&action.action)) return "rm " + a->path;
  if (const auto* a = std::get_if<CopyAction>(&action.action)) return "copy " + a->src + " " + a->dest;
  return "";
}

std::string side_name(std::int64_t input, const Vertex& vertex) {
  if (input == kNoInput) return "scratch";
  return "(" + vertex.inputs[static_cast<std::size_t>(input)].vertex->name + ")";
}

std::string made_name(const std::monostate&, const Vertex&) { return "unknown"; }
std::string made_name(const ExecOp& exec, const Vertex&) { return join(exec.meta.args, " "); }
std::string made_name(const SourceOp& source, const Vertex&) { return source.identifier; }
std::string made_name(const FileOp& file, const Vertex&) {
  std::vector<std::string> names;
  for (const auto& action : file.actions) names.push_back(action_name(action));
  return join(names, ", ");
}
std::string made_name(const BuildOp&, const Vertex&) { return "build"; }
std::string made_name(const MergeOp&, const Vertex& vertex) {
  std::vector<std::string_view> names;
  for (const auto& input : vertex.inputs) names.push_back(input.vertex->name);
  return "merge (" + join(names, ", ") + ")";
}
std::string made_name(const DiffOp& diff, const Vertex& vertex) {
  return "diff " + side_name(*diff.lower, vertex) + " -> " + side_name(*diff.upper, vertex);
}
std::string made_name(const PassthroughOp& pass, const Vertex&) { return "passthrough " + pass.id; }

}  // namespace

std::string op_name(const Op& op, const Vertex& vertex) {
  auto custom = vertex.metadata.description.find("llb.customname");
  if (custom != vertex.metadata.description.end()) return custom->second;
  std::string name = std::visit([&vertex](const auto& kind) { return made_name(kind, vertex); }, op.kind);
  if (name.size() > kNameBytesMax) name.resize(kNameBytesMax);
  return name;
}

}  // namespace kiln::graph::internal
