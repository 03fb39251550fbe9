// Both ends of a session joined through a real Control.Session call on a socket: files travel and
// travel again cheaply, and everything else a client offers is reached.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <thread>

#include "session/files.h"
#include "session/session_fixture.h"

namespace kiln::session {
namespace {

using namespace std::chrono_literals;

void write(const std::string& path, const std::string& text) {
  ASSERT_TRUE(host::make_dirs(path.substr(0, path.rfind('/'))).ok());
  ASSERT_TRUE(host::write_file(path, text).ok());
}

Result<SyncOutcome> sync(Daemon& daemon, const ClientSession& client, const FileRequest& request,
                         const SyncTarget& target) {
  Result<SyncOutcome> outcome = engine_error("nobody");
  Status status = file_asker(daemon.group(client))
                      ->with_client("",
                                    [&](FileGiver& giver) {
                                      EXPECT_EQ(giver.shared_key(), "shared");
                                      outcome = giver.sync(request, target, {});
                                      return outcome.status();
                                    },
                                    {});
  if (!status.ok()) return status;
  return outcome;
}

TEST(Session, AClientThatAnnouncedItselfIsFoundAndGoesWhenItCloses) {
  Daemon daemon;
  auto client = daemon.connect({});
  auto session = daemon.sessions.get("key:" + client->id(), 5s, {});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->name(), "test");
  EXPECT_TRUE((*session)->offers("/grpc.health.v1.Health/Check"));
  client->close();
  for (int i = 0; i < 500 && !daemon.sessions.list().empty(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(daemon.sessions.list().empty());
  EXPECT_TRUE((*session)->closed());
  EXPECT_EQ(daemon.sessions.get("nobody", 10ms, {}).status().code(), Code::kNotFound);
}

TEST(Session, ADaemonThatClosesTellsTheClient) {
  Daemon daemon;
  auto client = daemon.connect({});
  auto session = daemon.sessions.get(client->id(), 5s, {});
  ASSERT_TRUE(session.ok());
  (*session)->close();
  for (int i = 0; i < 500 && !client->ended(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(client->ended().has_value());
}

// Through the session's tunnel, in gRPC's library and in our own HTTP/2, and past it.
enum class Way { kTunnel, kOwnTunnel, kDirect };
Ears ears_of(Way way) { return way == Way::kTunnel ? Ears::kGrpc : Ears::kOwn; }
class Files : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(EveryWay, Files, testing::Values(Way::kTunnel, Way::kOwnTunnel, Way::kDirect));

TEST_P(Files, ATreeTravelsAndOnlyChangesTravelAgain) {
  Daemon daemon(ears_of(GetParam()));
  auto from = *host::TempDir::make("from"), to = *host::TempDir::make("to");
  const std::string& a = from.path();
  write(a + "/b/deep/x.txt", "x");
  write(a + "/b.txt", std::string(3 << 20, 'q'));
  write(a + "/empty", "");
  write(a + "/skip/me.o", "o");
  ASSERT_EQ(symlink("b/deep/x.txt", (a + "/link").c_str()), 0);
  ASSERT_EQ(::link((a + "/b.txt").c_str(), (a + "/hard").c_str()), 0);
  ASSERT_EQ(mkfifo((a + "/pipe").c_str(), 0600), 0);
  ASSERT_EQ(chmod((a + "/b").c_str(), 0750), 0);
  Offers offers;
  offers.direct = GetParam() == Way::kDirect;
  offers.dirs["context"] = *DirTree::at(a);
  auto client = daemon.connect(std::move(offers));

  FileRequest request;
  request.name = "context";
  request.filter.exclude_patterns = {"**/*.o", "größe"};
  TreeIndex index;
  SyncTarget target{to.path(), &index};
  auto outcome = sync(daemon, *client, request, target);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->changed);
  EXPECT_EQ(outcome->files_written, 3);
  EXPECT_EQ(*host::read_file(to.path() + "/b/deep/x.txt"), "x");
  EXPECT_EQ(host::read_file(to.path() + "/b.txt")->size(), std::size_t{3 << 20});
  EXPECT_TRUE(host::exists(to.path() + "/skip"));
  EXPECT_FALSE(host::exists(to.path() + "/skip/me.o"));
  struct stat one, two;
  ASSERT_EQ(stat((to.path() + "/b.txt").c_str(), &one), 0);
  ASSERT_EQ(stat((to.path() + "/hard").c_str(), &two), 0);
  EXPECT_EQ(one.st_ino, two.st_ino);
  ASSERT_EQ(lstat((a + "/b").c_str(), &one), 0);
  ASSERT_EQ(lstat((to.path() + "/b").c_str(), &two), 0);
  EXPECT_EQ(one.st_mode, two.st_mode);
  EXPECT_EQ(one.st_mtim.tv_nsec, two.st_mtim.tv_nsec);
  EXPECT_EQ(index.size(), 9u);

  std::string file = to.path() + ".index";
  ASSERT_TRUE(index.save(file).ok());
  index = TreeIndex::load(file);
  unlink(file.c_str());
  ASSERT_EQ(index.size(), 9u);
  EXPECT_EQ(index.path(0), "b");
  EXPECT_EQ(index.digest(2), Digest::of("x"));
  outcome = sync(daemon, *client, request, target);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_FALSE(outcome->changed);
  EXPECT_EQ(outcome->files_written, 0);

  write(a + "/b/deep/x.txt", "changed");
  unlink((a + "/empty").c_str());
  unlink((a + "/link").c_str());
  write(a + "/link/now/a/dir", "d");
  outcome = sync(daemon, *client, request, target);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->files_written, 2);
  EXPECT_EQ(*host::read_file(to.path() + "/b/deep/x.txt"), "changed");
  EXPECT_EQ(*host::read_file(to.path() + "/link/now/a/dir"), "d");
  EXPECT_FALSE(host::exists(to.path() + "/empty"));

  // A directory becomes a file.
  ASSERT_TRUE(host::remove_all(a + "/b").ok());
  write(a + "/b", "file");
  outcome = sync(daemon, *client, request, target);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*host::read_file(to.path() + "/b"), "file");
  EXPECT_TRUE(host::exists(to.path() + "/b.txt"));
}

TEST_P(Files, IncludesBringTheirParentsAndFollowedLinksTheirTargets) {
  Daemon daemon(ears_of(GetParam()));
  auto from = *host::TempDir::make("from"), to = *host::TempDir::make("to");
  const std::string& a = from.path();
  write(a + "/real/sub/file", "1");
  write(a + "/real/other", "2");
  write(a + "/z/y/x", "3");
  ASSERT_EQ(symlink("real/sub", (a + "/alias").c_str()), 0);
  Offers offers;
  offers.direct = GetParam() == Way::kDirect;
  offers.dirs["c"] = *DirTree::at(a);
  auto client = daemon.connect(std::move(offers));
  FileRequest request;
  request.name = "c";
  request.filter.include_patterns = {"z/*/x"};
  request.filter.follow_paths = {"alias/file"};
  TreeIndex index;
  auto outcome = sync(daemon, *client, request, {to.path(), &index});
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < index.size(); ++i) paths.emplace_back(index.path(i));
  EXPECT_EQ(paths, (std::vector<std::string>{"alias", "real", "real/sub", "real/sub/file", "z", "z/y", "z/y/x"}));
  request.name = "unknown";
  EXPECT_EQ(sync(daemon, *client, request, {to.path(), &index}).status().code(), Code::kNotFound);
}

TEST_P(Files, OnlyMetadataTravelsWhenThatIsAsked) {
  Daemon daemon(ears_of(GetParam()));
  auto from = *host::TempDir::make("from"), to = *host::TempDir::make("to");
  write(from.path() + "/d/want", "1");
  write(from.path() + "/d/not", "2");
  write(from.path() + "/e", "2");
  Offers offers;
  offers.direct = GetParam() == Way::kDirect;
  offers.dirs["c"] = *DirTree::at(from.path());
  auto client = daemon.connect(std::move(offers));
  FileRequest request;
  request.name = "c";
  request.metadata_only = true;
  request.metadata_exceptions = {"d/want"};
  TreeIndex index;
  for (bool changed : {true, false}) {
    auto outcome = sync(daemon, *client, request, {to.path(), &index});
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->changed, changed);
    EXPECT_EQ(*host::read_file(to.path() + "/d/want"), "1");
    EXPECT_FALSE(host::exists(to.path() + "/d/not"));
    EXPECT_GT(host::read_file(to.path() + "/.fsutil-metadata")->size(), 40u);
  }
}

TEST_P(Files, ManyFilesInBothStates) {
  Daemon daemon(ears_of(GetParam()));
  auto from = *host::TempDir::make("from", "/dev/shm"), to = *host::TempDir::make("to", "/dev/shm");
  const char* wanted = getenv("KILN_FILES");
  int dirs = wanted ? atoi(wanted) / 100 : 20;
  for (int d = 0; d < dirs; ++d) {
    for (int f = 0; f < 100; ++f)
      write(fmt::format("{}/dir{}/file{}", from.path(), d, f), std::string(3960, 'a' + f % 26));
  }
  const char* big = getenv("KILN_BIG_MB");
  Offers offers;
  offers.direct = GetParam() == Way::kDirect;
  offers.dirs["c"] = *DirTree::at(from.path());
  auto client = daemon.connect(std::move(offers));
  FileRequest request;
  request.name = "c";
  TreeIndex index;
  auto round = [&](const char* what) {
    auto began = std::chrono::steady_clock::now();
    auto cpu = std::clock();
    auto outcome = sync(daemon, *client, request, {to.path(), &index});
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    if (wanted || big) {
      printf("%s: %d ms, %ld ms of processor time, %ld bytes, %ld files\n", what, static_cast<int>(took.count()),
             (std::clock() - cpu) * 1000 / CLOCKS_PER_SEC, outcome->bytes, outcome->files_written);
    }
  };
  round("first");
  EXPECT_EQ(index.size(), static_cast<std::size_t>(dirs) * 101);
  round("again");
  write(from.path() + "/dir1/file1", "new");
  round("one changed");
  EXPECT_EQ(*host::read_file(to.path() + "/dir1/file1"), "new");
  if (big) {
    write(from.path() + "/big", std::string(static_cast<std::size_t>(atoi(big)) << 20, 'b'));
    round("big file");
  }
}

}  // namespace
}  // namespace kiln::session
