// Control groups: what samples read from either version's files, and groups of the real kernel, made,
// filled, counted, killed and removed. The unified tree beside version 1, where there is one, proves
// version 2's way without its controllers.
#include "host/cgroup.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/id.h"
#include "host/cgroup_sample.h"
#include "host/fs.h"

namespace kiln::host {
namespace {

class SampleFiles : public testing::Test {
 protected:
  void SetUp() override { folder = *TempDir::make("kiln-cgroup-"); }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(write_file(folder.path() + "/" + name, text).ok());
  }
  TempDir folder;
};

TEST_F(SampleFiles, OfVersionTwoAreReadWhole) {
  write("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 4\n");
  write("cpu.pressure",
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n");
  write("memory.stat", "anon 100\nfile 200\nkernel_stack 3\npagetables 4\nsock 0\nshmem 5\npgfault 9\n");
  write("memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n");
  write("memory.peak", "400\n");
  write("io.stat",
        "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n254:1 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=0 "
        "dios=0\n");
  write("pids.current", "6\n");
  const CgroupSample sample = read_cgroup_sample({{"", folder.path()}});
  EXPECT_EQ(sample.cpu->usage_ns, 5000u);
  EXPECT_EQ(sample.cpu->throttled_ns, 4000u);
  EXPECT_EQ(sample.cpu->pressure->some->avg10, 1.5);
  EXPECT_EQ(sample.cpu->pressure->full->total_us, 3u);
  EXPECT_EQ(sample.memory->anon, 100u);
  EXPECT_EQ(sample.memory->slab, std::nullopt);
  EXPECT_EQ(sample.memory->peak, 400u);
  EXPECT_EQ(sample.memory->oom_kill_events, 4u);
  EXPECT_EQ(sample.io->read_bytes, 11u);
  EXPECT_EQ(sample.io->writes, 3u);
  EXPECT_EQ(sample.pids, 6u);
}

TEST_F(SampleFiles, OfVersionOneAreReadAsFarAsTheyGo) {
  write("cpuacct.usage", "50\n");
  write("memory.stat", "cache 1\ntotal_cache 7\ntotal_rss 8\n");
  write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  write("blkio.throttle.io_service_bytes", "254:0 Read 5\n254:0 Write 6\n254:0 Total 11\nTotal 11\n");
  const CgroupSample sample =
      read_cgroup_sample({{"cpu,cpuacct", folder.path()}, {"memory", folder.path()}, {"blkio", folder.path()}});
  EXPECT_EQ(sample.cpu->usage_ns, 50u);
  EXPECT_EQ(sample.memory->anon, 8u);
  EXPECT_EQ(sample.memory->file, 7u);
  EXPECT_EQ(sample.memory->oom_kill_events, 2u);
  EXPECT_EQ(sample.io->write_bytes, 6u);
  EXPECT_EQ(sample.pids, std::nullopt);
}

TEST(SystemCpu, IsCountedInSeconds) {
  const auto now = read_system_cpu();
  ASSERT_TRUE(now);
  EXPECT_GT(now->user + now->system + now->idle, 0);
  EXPECT_EQ((*now - *now).idle, 0);
}

class Groups : public testing::TestWithParam<const char*> {};

TEST_P(Groups, HoldProcessesUntilTheyAreKilledAndRemoved) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const CgroupTree tree = CgroupTree::probe(GetParam());
  if (tree.layout() == CgroupLayout::kNone) GTEST_SKIP() << "no control groups at " << GetParam();
  Result<Cgroup> group = tree.create("/kilntest/" + new_id());
  if (!group.ok()) GTEST_SKIP() << message_of(group.status());
  const Status devices = group->set_devices({{.allow = false, .type = 'a'}, {.type = 'c', .major = 1, .minor = 3}});
  EXPECT_TRUE(devices.ok() || errno_of(devices) == EPERM) << message_of(devices);
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ASSERT_TRUE(group->attach(child).ok());
  EXPECT_TRUE(group->kill_all().ok());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  const std::string folder = group->folders()[0].second;
  EXPECT_TRUE(exists(folder));
  const Status removed = group->remove(std::chrono::seconds(2));
  EXPECT_TRUE(removed.ok()) << message_of(removed);
  EXPECT_FALSE(exists(folder));
}

INSTANTIATE_TEST_SUITE_P(Here, Groups, testing::Values("/sys/fs/cgroup", "/sys/fs/cgroup/unified"));

}  // namespace
}  // namespace kiln::host
