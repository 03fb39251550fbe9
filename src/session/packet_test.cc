// The sync protocol with its two ends joined in memory: one packet a message, as other BuildKit
// programs speak it, and in batches; and bytes that are no packets.
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "host/fs.h"
#include "session/internal/tree_receiver.h"
#include "session/internal/tree_sender.h"

namespace kiln::session::internal {
namespace {

// One direction of a connection.
struct Lane {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> messages;
  bool closed = false;
  int count = 0;

  void close() {
    std::lock_guard lock(mutex);
    closed = true;
    changed.notify_all();
  }
};

class JoinedPipe final : public MessagePipe {
 public:
  JoinedPipe(Lane& in, Lane& out) : in_(in), out_(out) {}
  bool read(Pieces& message) override {
    std::unique_lock lock(in_.mutex);
    in_.changed.wait(lock, [this] { return in_.closed || !in_.messages.empty(); });
    if (in_.messages.empty()) return false;
    last_ = std::move(in_.messages.front());
    in_.messages.pop_front();
    message.assign(1, last_);
    return true;
  }
  bool write(std::string_view head, const Bytes& body, Flush) override {
    std::lock_guard lock(out_.mutex);
    out_.messages.push_back(std::string(head) + std::string(body.view));
    ++out_.count;
    out_.changed.notify_all();
    return !out_.closed;
  }

  bool complete() const override { return true; }

 private:
  Lane& in_;
  Lane& out_;
  std::string last_;
};

class TreeTransfer : public testing::TestWithParam<Batching> {};

TEST_P(TreeTransfer, FilesOfAllSizesArrive) {
  auto from = *host::TempDir::make("from"), to = *host::TempDir::make("to");
  std::vector<std::pair<std::string, std::size_t>> files = {
      {"empty", 0},    {"one", 1}, {"small", 32 * 1024 - 1}, {"edge", 32 * 1024}, {"over", 32 * 1024 + 1},
      {"big", 3 << 20}};
  for (auto& [name, size] : files) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
    ASSERT_TRUE(host::write_file(from.path() + "/" + name, text).ok());
  }
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(host::write_file(from.path() + "/f" + std::to_string(i), "text").ok());
  Lane down, up;
  JoinedPipe sends(up, down), receives(down, up);
  PacketPipe sender(sends, GetParam()), receiver(receives, Batching::kOff);
  auto tree = *DirTree::at(from.path());
  Status sent;
  std::jthread thread([&] {
    sent = send_tree(sender, *tree, {.cancel = [&] { up.close(); }}, {});
    down.close();
  });
  TreeIndex index;
  SyncTarget target;
  target.dir = to.path();
  target.index = &index;
  auto outcome = receive_tree(receiver, target, {}, {});
  thread.join();
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(outcome->files_written, 306);
  for (auto& [name, size] : files) {
    std::string text = *host::read_file(from.path() + "/" + name);
    EXPECT_TRUE(*host::read_file(to.path() + "/" + name) == text) << name;
    EXPECT_EQ(index.digest(*index.find(name)), Digest::of(text)) << name;
  }
  EXPECT_EQ(receiver.peer_batches(), GetParam() == Batching::kOn);
  if (GetParam() == Batching::kOn) {
    EXPECT_LT(down.count, 100);
  } else {
    EXPECT_GT(down.count, 3 * 306);
  }
}
INSTANTIATE_TEST_SUITE_P(BothWays, TreeTransfer, testing::Values(Batching::kOff, Batching::kOn));

TEST(Packets, MalformedBytesAreAnErrorOfThePeer) {
  for (std::string bytes : {std::string("\x7a\xff"), std::string("\x12\x7f"), std::string("\x08\x09"),
                            std::string("\x22\xff\xff\xff\xff\x0f")}) {
    Lane in, out;
    in.messages.push_back(bytes);
    in.close();
    JoinedPipe pipe(in, out);
    auto to = *host::TempDir::make("to");
    SyncTarget target;
    target.dir = to.path();
    PacketPipe packets(pipe, Batching::kOff);
    auto outcome = receive_tree(packets, target, {}, {});
    EXPECT_EQ(outcome.status().code(), Code::kInvalidArgument);
    EXPECT_EQ(fault_of(outcome.status()), Fault::kPeer);
  }
}

TEST(Packets, OfSeveralContentsInOneTheLastCounts) {
  Packet packet;
  ASSERT_TRUE(packet
                  .parse(std::string_view("\x08\x02\x22\x01"
                                          "a"
                                          "\x22\x02"
                                          "bc"))
                  .ok());
  EXPECT_EQ(packet.data_text(), "bc");
  EXPECT_EQ(packet.data_size, 2u);
}

TEST(Packets, PathsThatLeaveTheTreeAreRefused) {
  for (const char* path : {"../x", "/x", "a/../b", "missing/parent", "", "."}) {
    Lane in, out;
    FileStat stat;
    stat.path = path;
    std::string packet = stat_packet(stat);
    in.messages.push_back(packet);
    in.close();
    JoinedPipe pipe(in, out);
    auto to = *host::TempDir::make("to");
    SyncTarget target;
    target.dir = to.path();
    PacketPipe packets(pipe, Batching::kOff);
    EXPECT_EQ(receive_tree(packets, target, {}, {}).status().code(), Code::kInvalidArgument) << path;
  }
}

}  // namespace
}  // namespace kiln::session::internal
