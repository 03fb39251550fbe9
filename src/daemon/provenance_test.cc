// What a predicate tells: the request with its secrets hidden, the requests behind inputs while their
// builds live, materials with pins, and nothing more than was asked for.
#include "daemon/provenance.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "daemon/request_scope.h"
#include "daemon/usage.h"
#include "graph/build/exec.h"
#include "graph/build/file.h"
#include "graph/build/sources.h"

namespace kiln::daemon {
namespace {

namespace gb = graph::build;
using Json = nlohmann::json;

std::shared_ptr<const graph::Graph> graph_of(const gb::State& state) {
  auto definition = gb::marshal(state);
  EXPECT_TRUE(definition.ok()) << definition.status();
  return std::make_shared<const graph::Graph>(*graph::load(*definition));
}

gb::State file_on(const gb::State& base, const std::string& path) {
  gb::FileSteps steps;
  steps.mkdir(path, 0755, {});
  return gb::file(base, steps);
}

struct Build {
  std::shared_ptr<Producers> producers = std::make_shared<Producers>();
  source::Pins pins;

  Capture capture(const std::shared_ptr<RequestScope>& scope, const gb::State& state) {
    WantedCapture wanted;
    wanted.graph = graph_of(state);
    wanted.results = {wanted.graph.get()};
    return scope->capture(wanted, pins, nullptr);
  }
};

Json told(const Capture& capture, const ProvenanceOptions& options = {}, const ProvenanceRun& run = {}) {
  return Json::parse(predicate(capture, {}, options, run));
}

TEST(ProvenanceOptions, AreReadFromOptionsAndArguments) {
  auto options = provenance_options({{"attest:provenance", "mode=min,version=v0.2,capture-usage=true,reproducible=1"}});
  ASSERT_TRUE(options.ok() && *options);
  EXPECT_EQ((*options)->mode, ProvenanceMode::kMin);
  EXPECT_EQ((*options)->version, SlsaVersion::kV02);
  EXPECT_TRUE((*options)->capture_usage && (*options)->reproducible);
  auto plain = provenance_options({{"build-arg:BUILDKIT_ATTEST_PROVENANCE", ""}});
  EXPECT_EQ((*plain)->mode, ProvenanceMode::kMax);
  EXPECT_FALSE(*provenance_options({{"attest:provenance", "disabled=true"}}));
  EXPECT_EQ(message_of(provenance_options({{"attest:provenance", "mode=some"}}).status()), "invalid mode \"some\"");
  EXPECT_FALSE(provenance_options({{"attest:other", ""}}).ok());
  EXPECT_EQ((**attestation_settings({{"attest:sbom", "generator=a/b,X=1"}}, "sbom"))["X"], "1");
}

TEST(Predicate, HidesCredentialsAndKeepsWhatIsNotTheMachines) {
  Build build;
  auto root = RequestScope::of_build({}, build.producers);
  auto call = root->call({"dockerfile.v0",
                          {{"context", "https://me:pw@host/src.tar"},
                           {"filename", "F"},
                           {"platform", "linux/amd64"},
                           {"build-arg:A", "1"},
                           {"label:l", "2"},
                           {"target", "t"},
                           {"vcs:source", "https://me@host/r"}},
                          {}});
  const Capture capture = build.capture(call, gb::scratch());
  Json full = told(capture);
  const Json& external = full["buildDefinition"]["externalParameters"];
  EXPECT_EQ(external["configSource"], (Json{{"uri", "https://xxxxx:xxxxx@host/src.tar"}, {"path", "F"}}));
  EXPECT_EQ(external["request"]["args"], (Json{{"build-arg:A", "1"}, {"label:l", "2"}, {"target", "t"}}));
  EXPECT_EQ(full["runDetails"]["metadata"]["buildkit_metadata"]["vcs"]["source"], "https://xxxxx@host/r");
  EXPECT_TRUE(full["runDetails"]["metadata"]["buildkit_completeness"]["request"]);
  ProvenanceOptions min;
  min.mode = ProvenanceMode::kMin;
  Json little = told(capture, min);
  EXPECT_EQ(little["buildDefinition"]["externalParameters"]["request"]["args"], (Json{{"target", "t"}}));
  EXPECT_FALSE(little["runDetails"]["metadata"]["buildkit_completeness"]["request"]);
  EXPECT_FALSE(little["buildDefinition"]["internalParameters"].contains("buildConfig"));
  min.version = SlsaVersion::kV02;
  EXPECT_EQ(told(capture, min)["invocation"]["configSource"]["entryPoint"], "F");
}

TEST(Predicate, KnowsWhoMadeAnInputWhileThatBuildLives) {
  Build build;
  const gb::State made = file_on(gb::scratch(), "/made");
  auto producer = RequestScope::of_build({}, build.producers);
  auto maker = producer->call({"dockerfile.v0", {{"target", "base"}, {"build-arg:X", "y"}}, {}});
  maker->produced(*graph_of(made));
  const auto asked = [&] {
    auto scope = RequestScope::of_build({"", {{"mine", "1"}}, {}}, build.producers);
    auto call = scope->call({"dockerfile.v0", {{"context:c", "input:c"}}, {{"c", *gb::marshal(made)}}});
    return told(build.capture(call, made))["buildDefinition"]["externalParameters"]["request"];
  };
  const Json request = asked();
  EXPECT_EQ(request["inputs"]["c"]["request"]["args"]["target"], "base");
  EXPECT_EQ(request["root"]["request"]["args"], (Json{{"mine", "1"}}));
  maker.reset();
  producer.reset();
  EXPECT_FALSE(asked().contains("inputs"));
}

TEST(Predicate, LeavesOutTheClientsRequestWhenItIsTheSame) {
  Build build;
  const FrontendCall asked{"dockerfile.v0", {{"target", "t"}, {"attest:provenance", ""}}, {}};
  auto root = RequestScope::of_build(asked, build.producers);
  auto call = root->call(asked);
  EXPECT_FALSE(
      told(build.capture(call, gb::scratch()))["buildDefinition"]["externalParameters"]["request"].contains("root"));
}

TEST(Predicate, TellsMaterialsOfItsOwnCallAndBelow) {
  Build build;
  auto root = RequestScope::of_build({}, build.producers);
  auto call = root->call({"dockerfile.v0", {}, {}});
  root->add_image({"docker.io/library/elsewhere:1", std::nullopt, "sha256:" + std::string(64, '1'), false});
  call->add_image({"docker.io/library/base:1", Platform::host(), "sha256:" + std::string(64, '2'), false});
  call->add_image({"docker.io/library/base:1@sha256:" + std::string(64, '2'), Platform::host(),
                   "sha256:" + std::string(64, '2'), false});
  const Json out = told(build.capture(call, gb::scratch()));
  ASSERT_EQ(out["buildDefinition"]["resolvedDependencies"].size(), 1u);
  EXPECT_TRUE(out["buildDefinition"]["resolvedDependencies"][0]["uri"].get<std::string>().starts_with(
      "pkg:docker/base@1?platform="));
  EXPECT_TRUE(out["runDetails"]["metadata"]["buildkit_hermetic"]);
  EXPECT_EQ(told(build.capture(root, gb::scratch()))["buildDefinition"]["resolvedDependencies"].size(), 2u);
}

TEST(Predicate, TellsLayersByStepAndOutput) {
  Build build;
  auto root = RequestScope::of_build({}, build.producers);
  const gb::State made = file_on(gb::scratch(), "/made");
  const auto graph = graph_of(made);
  content::Descriptor layer;
  layer.media_type = content::kOciLayerGzip;
  layer.digest = Digest::of("layer");
  ProvenanceRun run;
  run.layers[{graph->result.vertex->op_digest.str(), 0}] = {{layer}};
  const Json out = Json::parse(predicate(build.capture(root, made), *gb::marshal(made), {}, run));
  EXPECT_EQ(out["runDetails"]["metadata"]["buildkit_metadata"]["layers"]["step0:0"][0][0]["digest"],
            layer.digest.str());
}

TEST(Predicate, TellsUsageWhenAsked) {
  sandbox::StepSamples step;
  step.samples.emplace_back();
  step.samples[0].usage.cpu.emplace().usage_ns = 5;
  EXPECT_EQ(Json::parse(samples_json(step))["samples"][0]["cpuStat"]["usageNanos"], 5);
  Pool pool;
  MachineUsage machine(pool);
  ProvenanceRun run;
  run.machine_usage_json = machine.watch()->samples_json();
  ProvenanceOptions options;
  EXPECT_FALSE(told({}, options, run)["runDetails"]["metadata"]["buildkit_metadata"].contains("sysUsage"));
  options.capture_usage = true;
  const Json usage = told({}, options, run)["runDetails"]["metadata"]["buildkit_metadata"]["sysUsage"];
  ASSERT_EQ(usage.size(), 1u);
  EXPECT_GT(usage[0]["memoryStat"]["total"].get<std::int64_t>(), 0);
}

TEST(Predicate, RefusesMaterialsWithoutPinWhenAsked) {
  ProvenanceOptions options;
  options.complete_materials = true;
  Capture capture;
  EXPECT_TRUE(check_materials(capture, options).ok());
  capture.locals.insert("context");
  EXPECT_FALSE(check_materials(capture, options).ok());
}

}  // namespace
}  // namespace kiln::daemon
