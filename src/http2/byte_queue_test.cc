// Bytes keep their order through copies and references, and small ones do not make many pieces.
#include "http2/byte_queue.h"

#include <gtest/gtest.h>

namespace kiln::http2 {
namespace {

std::string text_of(const ByteQueue& queue) {
  std::string out;
  for (const Bytes& piece : queue.pieces()) out += piece.view;
  return out;
}

TEST(ByteQueue, KeepsTheOrderOfCopiesAndReferences) {
  ByteQueue queue;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    std::string small(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
    std::string large(static_cast<std::size_t>(i) * 61, static_cast<char>('A' + i % 26));
    queue.append(small);
    queue.append(owned(large));
    expected += small + large;
  }
  EXPECT_EQ(queue.size(), expected.size());
  ByteQueue front;
  queue.move_front(100'001, front);
  EXPECT_EQ(text_of(front), expected.substr(0, 100'001));
  EXPECT_EQ(text_of(queue), expected.substr(100'001));
  std::deque<Bytes> rest;
  queue.move_all(rest);
  EXPECT_TRUE(queue.empty());
  std::string text;
  for (const Bytes& piece : rest) text += piece.view;
  EXPECT_EQ(text, expected.substr(100'001));
}

TEST(ByteQueue, JoinsSmallPiecesAndRefersToLargeOnes) {
  ByteQueue queue;
  for (int i = 0; i < 1000; ++i) queue.append(std::string_view("message"));
  EXPECT_LT(queue.pieces().size(), 6u);
  Bytes large = owned(std::string(100'000, 'x'));
  queue.append(large);
  EXPECT_EQ(queue.pieces().back().view.data(), large.view.data());
  EXPECT_EQ(large.keeper.use_count(), 2);
  queue.append(Bytes{large.view.substr(0, 100), large.keeper});
  EXPECT_EQ(large.keeper.use_count(), 2) << "a few bytes do not keep a large buffer";
}

}  // namespace
}  // namespace kiln::http2
