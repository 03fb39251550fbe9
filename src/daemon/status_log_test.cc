// The log of a build: that every watcher reads the same, and that loud steps are clipped.
#include "daemon/status_log.h"

#include <gtest/gtest.h>

#include <thread>

#include "wire/control.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1;

api::StatusResponse read_everything(StatusLog& log) {
  api::StatusResponse all;
  std::uint64_t cursor = 0;
  while (true) {
    StatusLog::Chunk chunk = log.read(cursor);
    cursor = chunk.next;
    api::StatusResponse part;
    EXPECT_TRUE(part.ParseFromString(chunk.frame));
    all.MergeFrom(part);
    if (chunk.end || chunk.frame.empty()) return all;
  }
}

event::Vertex vertex(const char* name) {
  event::Vertex v;
  v.digest = Digest::of(name);
  v.name = name;
  return v;
}

TEST(StatusLog, AWatcherWhoComesLateReadsEverythingFromTheStart) {
  auto log = StatusLog::open("").value();
  log->on(vertex("one"));
  StatusLog::Chunk first = log->read(0);
  EXPECT_FALSE(first.frame.empty());
  EXPECT_FALSE(first.end);
  log->on(event::VertexLog{Digest::of("one"), event::LogStream::kStderr, Time{}, "text"});
  event::Vertex done = vertex("one");
  done.completed = Time(std::chrono::seconds(5));
  done.cached = true;
  log->on(done);
  log->on(event::VertexWarning{.vertex = Digest::of("one"), .short_text = "careful"});
  log->close();
  log->on(vertex("after the end"));

  const api::StatusResponse all = read_everything(*log);
  ASSERT_EQ(all.vertexes_size(), 2);
  EXPECT_EQ(all.vertexes(1).completed().seconds(), 5);
  ASSERT_EQ(all.logs_size(), 1);
  EXPECT_EQ(all.logs(0).stream(), 2);
  EXPECT_EQ(all.warnings(0).short_(), "careful");
  const StepCounts counts = log->counts();
  EXPECT_EQ(std::tuple(counts.total, counts.completed, counts.cached, counts.warnings), std::tuple(1, 1, 1, 1));
}

TEST(StatusLog, AWatcherIsWokenUntilItForgetsOrHasEnough) {
  auto log = StatusLog::open("").value();
  int woken = 0, woken_once = 0;
  const auto id = log->watch([&] { return ++woken; });
  log->watch([&] { return ++woken_once > 1; });
  log->on(vertex("a"));
  log->close();
  log->forget(id);
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(woken_once, 1);
}

TEST(StatusLog, ManyTellersLoseNothing) {
  auto log = StatusLog::open("", {-1, -1}).value();
  std::vector<std::jthread> tellers;
  for (int t = 0; t < 4; ++t) {
    tellers.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        log->on(
            event::VertexLog{Digest::of(std::to_string(t)), event::LogStream::kStdout, Time{}, std::string(100, 'x')});
      }
    });
  }
  tellers.clear();
  log->close();
  EXPECT_EQ(read_everything(*log).logs_size(), 2000);
}

TEST(StatusLog, ALoudStepIsClippedAndItsEndIsShownWhenItFails) {
  ManualClock clock{Time(std::chrono::hours(1))};
  auto log = StatusLog::open("", {.bytes_max = 2048, .bytes_per_second_max = 1024}, clock).value();
  const Digest step = Digest::of("one");
  const auto say = [&](std::string text) {
    log->on(event::VertexLog{step, event::LogStream::kStdout, Time{}, std::move(text)});
  };
  say(std::string(1000, 'a'));
  say(std::string(1000, 'b'));  // beyond the speed: 24 bytes and the notice
  say(std::string(1000, 'c'));  // nothing
  clock.advance(std::chrono::seconds(10));
  say("the last words");
  event::Vertex failed = vertex("one");
  failed.completed = clock.now();
  failed.error = "exit 1";
  log->on(failed);
  log->close();

  const api::StatusResponse all = read_everything(*log);
  std::string told;
  for (const auto& entry : all.logs()) told += entry.msg();
  EXPECT_EQ(told.find("aaab"), 997u);
  EXPECT_NE(told.find(std::string(24, 'b') + "\n[output clipped, log limit 1KiB/s reached]\n"), std::string::npos);
  // The tail: everything since clipping began, once more.
  EXPECT_NE(told.find(std::string(1000, 'c') + "the last words"), std::string::npos);
}

TEST(StatusLog, ADamagedRecordEndsEarlyWithoutHarm) {
  class Bytes final : public content::BlobReader {
   public:
    explicit Bytes(std::string text) : text_(std::move(text)) {}
    std::int64_t size() const override { return static_cast<std::int64_t>(text_.size()); }
    Result<std::size_t> read(std::span<char>) override { return 0; }
    Result<std::size_t> read_at(std::int64_t offset, std::span<char> to) override {
      return text_.copy(to.data(), to.size(), static_cast<std::size_t>(offset));
    }
    std::string text_;
  };
  for (const std::string& bytes : {std::string("\xff\xff\xff\xff----"), std::string("\x09\x00\x00\x00--", 6)}) {
    auto log = StatusLog::recorded(std::make_unique<Bytes>(bytes));
    StatusLog::Chunk chunk = log->read(0);
    EXPECT_TRUE(chunk.end);
    EXPECT_TRUE(chunk.frame.empty());
  }
  EXPECT_TRUE(StatusLog::recorded(nullptr)->read(0).end);
}

}  // namespace
}  // namespace kiln::daemon
