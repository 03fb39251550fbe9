// BuildOp: a graph found in a file of its input is solved inside the same build. Key: as BuildKit's,
// sha256 of {"Type":"buildkit.build.v0","Exec":<pb.BuildOp as Go prints it>}.
#include <fcntl.h>

#include "content/json_text.h"
#include "host/fs.h"
#include "op/op_factory.h"
#include "op/tree_output.h"

namespace kiln::op {
namespace {

constexpr const char* kDefinitionInput = "buildkit.llb.definition";
constexpr const char* kDefinitionFile = "buildkit.llb.definition";
constexpr const char* kFilenameAttribute = "llbbuild.filename";
constexpr std::size_t kDefinitionBytesMax = 64 << 20;

std::string key_json(const graph::BuildOp& build) {
  content::JsonWriter w;
  w.begin_object();
  w.key("Type");
  w.string("buildkit.build.v0");
  w.key("Exec");
  w.begin_object();
  if (build.builder != 0) {
    w.key("builder");
    w.integer(build.builder);
  }
  if (!build.inputs.empty()) {
    w.key("inputs");
    w.begin_object();
    for (const auto& [name, input] : build.inputs) {
      w.key(name);
      w.begin_object();
      if (input != 0) {
        w.key("input");
        w.integer(input);
      }
      w.end_object();
    }
    w.end_object();
  }
  w.map_if("attrs", content::StringMap(build.attrs.begin(), build.attrs.end()));
  w.end_object();
  w.end_object();
  return w.take();
}

class BuildOp final : public solve::Op {
 public:
  BuildOp(VertexPtr vertex, OpPorts ports) : vertex_(std::move(vertex)), ports_(std::move(ports)) {}

  Result<solve::CacheMap> cache_map(int, solve::RunContext&) override {
    solve::CacheMap map;
    map.digest = Digest::of(key_json(op())).str();
    map.inputs.resize(vertex_->inputs.size());
    return map;
  }
  Result<Digest> content_key(int, const solve::OutputRef&, solve::RunContext&) override { return Digest(); }
  solve::Slot slot() const override { return solve::Slot::kFree; }

  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs,
                                            solve::RunContext& context) override {
    KILN_ASSIGN_OR_RETURN(std::string bytes, read_definition(inputs, context));
    KILN_ASSIGN_OR_RETURN(auto definition, graph::decode_definition(bytes));
    if (!ports_.solve_nested) return engine_error("nested builds are not available here");
    KILN_ASSIGN_OR_RETURN(auto tree, ports_.solve_nested(definition, context));
    return std::vector<solve::OutputRef>{make_output(std::move(tree))};
  }

 private:
  const graph::BuildOp& op() const { return std::get<graph::BuildOp>(vertex_->op.kind); }

  Result<std::string> read_definition(const std::vector<solve::OutputRef>& inputs, solve::RunContext& context) {
    if (op().builder != graph::kNoInput) {
      return user_error(Code::kInvalidArgument, "only LLB builder is currently allowed");
    }
    auto input = op().inputs.find(kDefinitionInput);
    if (input == op().inputs.end()) {
      return user_error(Code::kInvalidArgument, fmt::format("no llb definition input {} found", kDefinitionInput));
    }
    if (input->second < 0 || input->second >= static_cast<std::int64_t>(inputs.size())) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid index {}", input->second));
    }
    auto name = op().attrs.find(kFilenameAttribute);
    std::string file = name == op().attrs.end() ? kDefinitionFile : name->second;
    KILN_ASSIGN_OR_RETURN(auto tree,
                          ports_.trees->open(tree_of(inputs[static_cast<std::size_t>(input->second)]), context.stop));
    KILN_ASSIGN_OR_RETURN(auto fd, host::open_in_root(tree.root.get(), file, O_RDONLY | O_CLOEXEC));
    return host::read_to_end(fd.get(), kDefinitionBytesMax);
  }

  VertexPtr vertex_;
  OpPorts ports_;
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_build_op(VertexPtr vertex, const OpPorts& ports) {
  return std::make_unique<BuildOp>(std::move(vertex), ports);
}

}  // namespace kiln::op
