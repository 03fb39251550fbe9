// buildkitd.toml and the command line over it.
#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

#include "daemon/flags.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

TEST(Config, KeysAreReadAndUnknownOnesIgnored) {
  auto config = parse_config(R"(
    debug = true
    root = "/r"
    insecure-entitlements = ["network.host"]
    whatever = 3
    [log]
      format = "json"
    [grpc]
      address = ["tcp://0.0.0.0:1", "unix:///x"]
      gid = 7
      [grpc.tls]
        cert = "/c"
    [worker.oci]
      max-parallelism = 4
      maxLayerSize = "3GB"
      gc = false
      reservedSpace = "10GB"
      maxUsedSpace = "20%"
      [worker.oci.labels]
        "a.b" = "c"
      [[worker.oci.gcpolicy]]
        all = true
        keepDuration = "48h"
        filters = ["type==source.local"]
        maxUsedSpace = 512
      [[worker.oci.gcpolicy]]
        keepDuration = 60
    [registry."docker.io"]
      mirrors = ["m.example"]
      http = true
      [[registry."docker.io".keypair]]
        key = "k"
        cert = "c"
    [frontend."gateway.v0"]
      enabled = false
    [history]
      maxEntries = 5
      maxAge = 3600
  )",
                             "t");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->log_level, "debug");
  EXPECT_EQ(config->log_format, "json");
  EXPECT_EQ(config->addresses.size(), 2u);
  EXPECT_EQ(config->socket_gid, 7);
  EXPECT_EQ(config->worker.max_parallelism, 4);
  EXPECT_EQ(config->worker.layer_max.bytes, std::int64_t{3} << 30);
  EXPECT_FALSE(config->worker.gc);
  EXPECT_EQ(config->worker.gc_limits.max_used.percent, 20);
  EXPECT_EQ(config->worker.labels.at("a.b"), "c");
  ASSERT_EQ(config->worker.gc_policy.size(), 2u);
  EXPECT_EQ(config->worker.gc_policy[0].max_used.bytes, 512);
  EXPECT_EQ(config->worker.gc_policy[1].keep_duration, std::chrono::seconds(60));
  EXPECT_EQ(config->registries.at("docker.io").keypairs.size(), 1u);
  EXPECT_EQ(config->registries.at("docker.io").plain_http, true);
  EXPECT_FALSE(config->gateway_frontend);
  EXPECT_EQ(config->history_age_max, std::chrono::hours(1));
}

TEST(Config, KeysAreFoundWithoutRegardToCaseAndOlderNamesStandBack) {
  auto config =
      parse_config("[Worker.OCI]\nNetworkMode = \"host\"\ngckeepstorage = 9000\nmaxUsedSpace = \"2GB\"\n", "t");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->worker.network.mode, "host");
  EXPECT_TRUE(config->worker.gc_limits.reserved.empty());
  config = parse_config(
      "[[worker.oci.gcpolicy]]\nkeepBytes = \"1GB\"\nreservedSpace = \"2GB\"\n"
      "[[worker.oci.gcpolicy]]\nKeepBytes = 512.5\n[worker.oci]\ngckeepstorage = 9000\n",
      "t");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->worker.gc_limits.reserved.bytes, 9000);
  EXPECT_EQ(config->worker.gc_policy[0].reserved.bytes, std::int64_t{2} << 30);
  EXPECT_EQ(config->worker.gc_policy[1].reserved.bytes, 512);
}

TEST(Config, MistakesAreNamedWithTheirLine) {
  EXPECT_NE(message_of(parse_config("a =\n", "t").status()).find("line 1"), std::string_view::npos);
  const Status wrong = parse_config("[worker.oci]\nmax-parallelism = \"many\"\n", "t").status();
  EXPECT_EQ(message_of(wrong), "configuration 't': line 2: 'worker.oci.max-parallelism' must be a number");
  EXPECT_FALSE(parse_config("[worker.oci]\nmaxUsedSpace = \"big\"\n", "t").ok());
  EXPECT_FALSE(parse_config("[system]\nmaxRegistryConcurrency = 0\n", "t").ok());
  EXPECT_TRUE(load_config("/does/not/exist.toml").ok());
}

TEST(Config, KeysThatNobodyKnowsAreNamedWithTheNearest) {
  auto config = parse_config(R"(
      Root = "/r"
      speed = "high"
      [worker.oci]
      max-paralelism = 4
      [worker.oci.labels]
      anything = "goes"
      [worker.containerd]
      enabled = false
      namespace = "not ours"
      [[worker.oci.gcpolicy]]
      keepduration = "1h"
      keepFor = 3
      [registry."a.example"]
      plain = true
      [nothing.at.all]
      x = 1
  )",
                             "t");
  ASSERT_TRUE(config.ok()) << message_of(config.status());
  EXPECT_EQ(config->root, "/r");
  EXPECT_EQ(config->worker.gc_policy.at(0).keep_duration, std::chrono::hours(1));
  EXPECT_THAT(config->warnings,
              testing::ElementsAre(
                  "line 3: unknown key 'speed' in the configuration is ignored",
                  "line 5: unknown key 'worker.oci.max-paralelism' in the configuration is ignored, did you mean "
                  "'max-parallelism'?",
                  "line 13: unknown key 'worker.oci.gcpolicy.keepFor' in the configuration is ignored",
                  "line 15: unknown key 'registry.a.example.plain' in the configuration is ignored",
                  "line 16: unknown key 'nothing' in the configuration is ignored"));
}

// What stands behind a `#` without a space is an example that has to work.
TEST(Config, TheExampleIsReadWholeWithoutAWarning) {
  const std::string text = host::read_file(KILN_EXAMPLE_CONFIG).value();
  std::string all;
  int examples = 0;
  for (std::string_view line : split(text, '\n')) {
    const bool example = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    examples += example;
    all += std::string(line.substr(example ? 1 : 0)) + "\n";
  }
  EXPECT_GT(examples, 40);
  for (const std::string& each : {text, all}) {
    auto config = parse_config(each, "example");
    ASSERT_TRUE(config.ok()) << message_of(config.status());
    EXPECT_THAT(config->warnings, testing::IsEmpty());
  }
}

TEST(Flags, TheCommandLineStandsAboveTheFile) {
  host::TempDir dir = host::TempDir::make("flags-test").value();
  const std::string path = dir.path() + "/b.toml";
  ASSERT_TRUE(host::write_file(path, "root = \"/file\"\n[grpc]\naddress = [\"unix:///file\"]\ngid = 3\n").ok());
  auto line = parse_command_line({"--config=" + path, "--addr", "unix:///a", "--addr", "tcp://:1", "--oci-worker=true",
                                  "--containerd-worker=false", "--oci-worker-gc=false", "--oci-worker-labels=x.y=z",
                                  "--oci-worker-gc-keepstorage=100,20%,3000"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.root, "/file");
  EXPECT_EQ(line->config.addresses, (std::vector<std::string>{"unix:///a", "tcp://:1"}));
  EXPECT_EQ(line->config.socket_gid, 3);
  EXPECT_FALSE(line->config.worker.gc);
  EXPECT_EQ(line->config.worker.labels.at("x.y"), "z");
  EXPECT_EQ(line->config.worker.gc_limits.min_free.percent, 20);
  EXPECT_EQ(line->config.worker.gc_limits.reserved.bytes, 100'000'000);
}

TEST(Flags, WhatIsNotUnderstoodOrNotHereIsSaid) {
  const auto message = [](std::vector<std::string> arguments) {
    return std::string(message_of(parse_command_line(arguments).status()));
  };
  EXPECT_EQ(message({"--adr", "x"}), "unknown flag '--adr', did you mean '--addr'?");
  EXPECT_EQ(message({"--root"}), "'--root' needs a value");
  EXPECT_NE(message({"--containerd-worker=true"}).find("--containerd-worker: "), std::string::npos);
  EXPECT_NE(message({"--allow-insecure-entitlement", "x"}).find("invalid entitlement : x"), std::string::npos);
  EXPECT_NE(message({"--oci-max-parallelism=a"}).find("not a number"), std::string::npos);
  EXPECT_NE(message({"--oci-worker=false"}).find("no worker found"), std::string::npos);
  EXPECT_EQ(parse_command_line({"--version"})->action, Action::kVersion);
}

TEST(Flags, NamesAreCheckedBeforeTheStartAndProfilesAreTheKernelsAffair) {
  EXPECT_NE(message_of(parse_command_line({"--oci-worker-platform=a/b/c/d"}).status()).find("invalid platforms"),
            std::string_view::npos);
  auto line = parse_command_line({"--oci-worker-apparmor-profile=steps", "--oci-worker=", "--save-cache-debug"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.worker.apparmor_profile, "steps");
  EXPECT_EQ(line->config.warnings.size(), 1u);
}

TEST(Flags, TheVersionHasFourWords) {
  const std::string text = version_text("buildkitd");
  EXPECT_EQ(std::count(text.begin(), text.end(), ' '), 3);
}

TEST(Flags, WhatTheConfigurationAsksForAndIsNotHereStopsTheStart) {
  host::TempDir dir = host::TempDir::make("flags-test").value();
  const std::string path = dir.path() + "/kilnd.toml";
  for (const char* text : {"[cache.gha.verify]\nrequired = true\n", "[cache.gha.sign]\ncommand = [\"sign\"]\n",
                           "[worker.oci]\nselinux = true\n", "[worker.containerd]\nenabled = true\n"}) {
    ASSERT_TRUE(host::write_file(path, text).ok());
    EXPECT_EQ(parse_command_line({"--config", path}).status().code(), Code::kUnimplemented) << text;
  }
  ASSERT_TRUE(host::write_file(path, "[frontend.\"gateway.v0\"]\nallowedRepositories = [\"UPPER\"]\n").ok());
  EXPECT_EQ(parse_command_line({"--config", path}).status().code(), Code::kInvalidArgument);
  ASSERT_TRUE(host::write_file(path, "[cache.gha.verify]\nrequired = false\n").ok());
  EXPECT_TRUE(parse_command_line({"--config", path}).ok());
}

}  // namespace
}  // namespace kiln::daemon
