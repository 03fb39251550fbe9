// The graph room on its own: bytes to ops and back, loading, refusing what is not well-formed.
#include <gtest/gtest.h>

#include "graph/definition.h"
#include "graph/validate.h"
#include "graph/vertex.h"

namespace kiln::graph {
namespace {

Op image(const std::string& name) {
  Op op;
  op.kind = SourceOp{"docker-image://" + name, {{"image.resolvemode", "local"}}};
  op.platform = Platform{"linux", "amd64", "", "", {}};
  op.constraints.emplace();
  return op;
}

Op run_on(const Digest& base) {
  Op op;
  op.inputs.push_back({base.str(), 0});
  ExecOp exec;
  exec.meta.args = {"true"};
  exec.mounts.push_back({.input = 0, .dest = "/", .output = 0});
  op.kind = exec;
  return op;
}

std::string sink_of(const Digest& last) {
  Op op;
  op.inputs.push_back({last.str(), 0});
  return encode_op(op);
}

Definition chain(int length) {
  Definition def;
  def.ops.push_back(encode_op(image("base")));
  for (int i = 1; i < length; ++i) def.ops.push_back(encode_op(run_on(Digest::of(def.ops.back()))));
  def.ops.push_back(sink_of(Digest::of(def.ops.back())));
  return def;
}

TEST(Graph, OpSurvivesEncodingWithPresenceOfFields) {
  Op op;
  op.inputs.push_back({Digest::of("x").str(), 2});
  FileOp file;
  FileAction copy{.input = 0, .secondary_input = -1, .output = 0};
  copy.action =
      CopyAction{.src = "/a", .dest = "/b", .owner = Chown{.user = NamedUser{"me", 0}, .group = std::uint32_t{0}}};
  file.actions.push_back(copy);
  op.kind = file;
  op.constraints.emplace();
  auto bytes = encode_op(op);
  auto back = decode_op(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(encode_op(*back), bytes);
  const auto& action = std::get<CopyAction>(std::get<FileOp>(back->kind).actions[0].action);
  EXPECT_TRUE(std::holds_alternative<std::uint32_t>(*action.owner->group));
  EXPECT_TRUE(back->constraints.has_value());
  EXPECT_FALSE(back->platform.has_value());
}

TEST(Graph, LongChainLoadsAndGoesAwayWithoutDeepRecursion) {
  auto def = chain(20000);
  auto graph = load(def);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->vertices.size(), 20000u);
  Edge only = graph->result;
  graph->vertices.clear();
  graph->result = {};
  only = {};
}

TEST(Graph, IgnoreCacheGivesAVertexADigestOfItsOwn) {
  auto def = chain(3);
  auto middle = Digest::of(def.ops[1]);
  def.metadata[middle.str()].ignore_cache = true;
  auto graph = load(def);
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->vertices[1]->op_digest, middle);
  EXPECT_NE(graph->vertices[1]->digest, middle);
  EXPECT_EQ(graph->vertices[2]->digest, graph->vertices[2]->op_digest);
}

TEST(Graph, OpsSetApartAreNamedApartWithAllAboveThem) {
  const auto def = chain(3);
  auto graph = load(def, {.set_apart = [&](const Op& op) { return encode_op(op) == def.ops[1]; }});
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->vertices[0]->digest, graph->vertices[0]->op_digest);
  EXPECT_NE(graph->vertices[1]->digest, graph->vertices[1]->op_digest);
  EXPECT_NE(graph->vertices[2]->digest, graph->vertices[2]->op_digest);
  EXPECT_EQ(graph->vertices[2]->op_digest, Digest::of(def.ops[2]));
}

TEST(Graph, RewrittenSourceMovesDigestsAndMetadataUpwards) {
  auto def = chain(2);
  auto top = Digest::of(def.ops[1]);
  def.metadata[top.str()].description["llb.customname"] = "the step";
  LoadOptions options;
  options.rewrite_source = [](Op& op) -> Result<bool> {
    std::get<SourceOp>(op.kind).identifier = "docker-image://other";
    return true;
  };
  auto graph = load(def, options);
  ASSERT_TRUE(graph.ok());
  EXPECT_NE(graph->result.vertex->digest, top);
  EXPECT_EQ(graph->result.vertex->name, "the step");
  EXPECT_EQ(graph->result.vertex->inputs[0].vertex->name, "docker-image://other");
}

TEST(Graph, RefusesWhatIsNotWellFormed) {
  Definition garbage;
  garbage.ops = {"\xff\xff\xff", "x"};
  EXPECT_EQ(load(garbage).status().code(), Code::kInvalidArgument);

  auto missing = chain(2);
  missing.ops.erase(missing.ops.begin());
  EXPECT_EQ(load(missing).status().code(), Code::kInvalidArgument);

  Op rootless = run_on(Digest::of("x"));
  std::get<ExecOp>(rootless.kind).mounts[0].dest = "/mnt";
  EXPECT_FALSE(validate(rootless).ok());
  Op far = run_on(Digest::of("x"));
  std::get<ExecOp>(far.kind).mounts[0].input = 7;
  EXPECT_FALSE(validate(far).ok());
  Op negative = run_on(Digest::of("x"));
  negative.inputs[0].index = -1;
  EXPECT_FALSE(validate(negative).ok());

  auto unknown_cap = chain(2);
  unknown_cap.metadata[Digest::of(unknown_cap.ops[0]).str()].caps["no.such.cap"] = true;
  EXPECT_EQ(load(unknown_cap).status().code(), Code::kUnimplemented);
}

TEST(Graph, DefinitionOfAVertexHoldsOnlyWhatItNeeds) {
  auto def = chain(5);
  auto graph = load(def);
  ASSERT_TRUE(graph.ok());
  auto part = definition_of({graph->vertices[2], 0}, *graph);
  EXPECT_EQ(part.ops.size(), 4u);
  EXPECT_EQ(head(part)->digest, graph->vertices[2]->digest.str());
  auto bytes = encode_definition(part);
  auto back = decode_definition(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(encode_definition(*back), bytes);
}

}  // namespace
}  // namespace kiln::graph
