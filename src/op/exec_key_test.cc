// The key of an exec step is compared with the bytes that BuildKit hashes for the same step.
#include <gtest/gtest.h>

#include "op/exec_environment.h"
#include "op/exec_key.h"

namespace kiln::op {
namespace {

using graph::MountType;

TEST(ExecKey, IsWhatGoPrintsForEveryField) {
  graph::ExecOp op;
  op.meta = {.args = {"/bin/sh", "-c", "echo <a> && \"b\" é\x01"},
             .env = {"PATH=/bin", "A=b"},
             .cwd = "/w",
             .user = "u",
             .proxy_env = graph::ProxyEnv{.http_proxy = "not in the key"},
             .extra_hosts = {{"h", "1.2.3.4"}, {"", "5.6.7.8"}},
             .hostname = "hn",
             .ulimits = {{"nofile", 1, -1}},
             .cgroup_parent = "cg",
             .remove_mount_stubs_recursive = true,
             .valid_exit_codes = {0, 3}};
  op.mounts.resize(6);
  op.mounts[0] = {.input = 0, .selector = "gone", .dest = "/", .output = 0};
  op.mounts[1] = {
      .dest = "/c", .type = MountType::kCache, .cache = graph::CacheOpt{"mine", graph::CacheSharing::kLocked}};
  op.mounts[2] = {
      .dest = "/c2", .type = MountType::kCache, .cache = graph::CacheOpt{"ns//c2", graph::CacheSharing::kShared}};
  op.mounts[3] = {.dest = "/t", .type = MountType::kTmpfs, .tmpfs = graph::TmpfsOpt{5}};
  op.mounts[4] = {.dest = "/s",
                  .readonly = true,
                  .type = MountType::kSecret,
                  .secret = graph::SessionFileOpt{"x", 1, 2, 0400, true}};
  op.mounts[5] = {.dest = "/ssh",
                  .type = MountType::kSsh,
                  .ssh = graph::SessionFileOpt{"default", 0, 0, 0600, false},
                  .result_id = "r",
                  .content_cache = graph::ContentCache::kOff};
  op.network = graph::NetMode::kHost;
  op.security = graph::SecurityMode::kInsecure;
  op.secret_env = {{"i", "N", true}, {}};
  op.cdi_devices = {{"v/c=n", true}};
  const Platform platform{.os = "linux", .architecture = "arm", .variant = "v7", .os_features = {"f"}};
  EXPECT_EQ(
      exec_key_json(op, platform),
      R"({"Type":"buildkit.exec.v0","Exec":{"meta":{"args":["/bin/sh","-c","echo \u003ca\u003e \u0026\u0026 \"b\" é\u0001"],)"
      R"("env":["PATH=/bin","A=b"],"cwd":"/w","user":"u","extraHosts":[{"Host":"h"},{}],"hostname":"hn",)"
      R"("ulimit":[{"Name":"nofile","Soft":1,"Hard":-1}],"cgroupParent":"cg","removeMountStubsRecursive":true,)"
      R"("validExitCodes":[0,3]},"mounts":[{"dest":"/"},{"input":-1,"dest":"/c","output":-1,"mountType":3,"cacheOpt":{}},)"
      R"({"input":-1,"dest":"/c2","output":-1,"mountType":3,"cacheOpt":{"ID":"ns//c2"}},)"
      R"({"input":-1,"dest":"/t","output":-1,"mountType":4,"TmpfsOpt":{"size":5}},)"
      R"({"input":-1,"dest":"/s","output":-1,"readonly":true,"mountType":1,"secretOpt":{"ID":"x","uid":1,"gid":2,"mode":256,"optional":true}},)"
      R"({"input":-1,"dest":"/ssh","output":-1,"mountType":2,"SSHOpt":{"ID":"default","mode":384},"resultID":"r","contentCache":2}],)"
      R"("network":1,"security":1,"secretenv":[{"ID":"i","name":"N","optional":true},{}],)"
      R"("cdiDevices":[{"name":"v/c=n","optional":true}]},"OS":"linux","Arch":"arm","Variant":"v7","OSFeatures":["f"]})");
}

TEST(ExecKey, LeavesOutAPlainRoot) {
  graph::ExecOp op;
  op.meta.args = {"a"};
  op.mounts = {{.input = 0, .dest = "/", .output = 0}};
  const Platform platform{.os = "linux", .architecture = "amd64"};
  EXPECT_EQ(exec_key_json(op, platform),
            R"({"Type":"buildkit.exec.v0","Exec":{"meta":{"args":["a"]}},"OS":"linux","Arch":"amd64"})");
  op.mounts[0].result_id = "r";
  EXPECT_NE(exec_key_json(op, platform).find("mounts"), std::string::npos);
}

TEST(ExecKey, KeysByContentOnlyWhatCannotLeakIntoAnOutput) {
  graph::ExecOp op;
  op.mounts = {{.input = 0, .dest = "/", .output = 0},
               {.input = 1, .selector = "part", .dest = "/a", .output = 1},
               {.input = 2, .selector = "part", .dest = "/b", .readonly = true},
               {.input = 2, .selector = "/part/sub", .dest = "/c"}};
  auto views = *input_views(op, 3);
  EXPECT_FALSE(views[0].content_keyed);
  EXPECT_FALSE(views[1].content_keyed);
  EXPECT_TRUE(views[2].content_keyed);
  EXPECT_EQ(distinct_selectors(views[2].selectors), std::vector<std::string>{"/part"});
  op.mounts[1].content_cache = graph::ContentCache::kOn;
  EXPECT_FALSE(input_views(op, 3).ok());
}

TEST(ProcessOf, GivesAWorkingDirectoryThatIsAPlainPath) {
  EXPECT_EQ(process_of({.cwd = "/a/../b//c/"}).cwd, "/b/c");
  EXPECT_EQ(process_of({}).cwd, "");
}

}  // namespace
}  // namespace kiln::op
