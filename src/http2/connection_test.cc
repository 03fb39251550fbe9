// A connection whose other end does not keep to the rules: no crash, no waiting for ever, no memory
// without bound; the connection ends and everyone is told.
#include "http2/connection.h"

#include <gtest/gtest.h>

#include <random>

#include "http2/pair_fixture.h"

namespace kiln::http2 {
namespace {

using namespace std::chrono_literals;

// Keeps what was sent; sends nothing.
class Sink final : public Carrier {
 public:
  bool send(ByteQueue bytes) override {
    std::lock_guard lock(mutex_);
    for (const Bytes& piece : bytes.pieces()) sent_ += piece.view;
    return true;
  }
  void close() override { closed_ = true; }
  std::string take() {
    std::lock_guard lock(mutex_);
    return std::exchange(sent_, {});
  }
  bool closed() const { return closed_; }

 private:
  std::mutex mutex_;
  std::string sent_;
  std::atomic<bool> closed_{false};
};

std::string frame(int type, int flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out.append(payload);
}

const std::string kSettings = frame(4, 0, 0, "");
const std::string kHello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + kSettings;
constexpr int kData = 0, kHeaders = 1, kReset = 3, kPing = 6, kGoAway = 7, kWindowUpdate = 8;

struct Asking {
  Asking() {
    client->start(sink);
    stream = client->open({{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
    stream->flush();
  }
  ~Asking() { client->end(ok()); }
  void receive(std::string_view bytes) {
    const Bytes piece{bytes, nullptr};
    client->receive({&piece, 1});
  }
  std::shared_ptr<Sink> sink = std::make_shared<Sink>();
  std::shared_ptr<Connection> client = Connection::client();
  std::shared_ptr<Stream> stream;
};

TEST(Connection, NonsenseEndsItAndEveryStream) {
  const std::string cases[] = {
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      std::string(100, '\xff'),
      frame(kData, 0, 1, "data before settings"),
      kSettings + frame(kData, 0, 2, "a stream that nobody opened"),
      kSettings + frame(kHeaders, 4, 1, "\xff\xff\xff\xff\xff\xff"),
      kSettings + frame(kWindowUpdate, 0, 0, std::string("\0\0\0\0", 4)),
      kSettings + frame(kPing, 0, 0, "short"),
      kSettings + frame(kGoAway, 0, 0, std::string(8, '\0')),
  };
  for (const std::string& bytes : cases) {
    Asking asking;
    asking.receive(bytes);
    std::deque<Bytes> got;
    EXPECT_EQ(asking.stream->take(got, Ticks::now() + 5s), Stream::Taken::kEnd) << bytes.substr(0, 20);
    EXPECT_FALSE(asking.stream->ending().complete);
    EXPECT_FALSE(asking.stream->write("x", {}, Flush::kNow));
  }
}

TEST(Connection, AWindowIsAllThatIsHeld) {
  Asking asking;
  asking.receive(kSettings + frame(4, 1, 0, "") + frame(kHeaders, 4, 1, "\x88"));  // it knows our windows
  const std::string data = frame(kData, 0, 1, std::string(16'000, 'x'));
  int frames = 0;
  while (!asking.stream->ended() && frames < 1000) {
    asking.receive(data);
    ++frames;
  }
  EXPECT_LT(frames, 300) << "more than a window was taken";
  EXPECT_GT(frames, 200);
  std::deque<Bytes> got;
  asking.stream->take(got, kNoWait);
  EXPECT_EQ(asking.stream->take(got, kNoWait), Stream::Taken::kEnd);
}

TEST(Connection, FloodsEndIt) {
  Asking asking;
  asking.receive(kSettings);
  // A peer that asks and does not take the answers.
  class Stuck final : public Carrier {
    bool send(ByteQueue) override { return false; }
    void close() override {}
  };
  auto server = Connection::server([](const std::shared_ptr<Stream>&) {});
  server->start(std::make_shared<Stuck>());
  const Bytes hello{kHello, nullptr};
  server->receive({&hello, 1});
  std::string pings;
  for (int i = 0; i < 10'000; ++i) pings += frame(kPing, 0, 0, "12345678");
  const Bytes piece{pings, nullptr};
  server->receive({&piece, 1});
  EXPECT_TRUE(server->ended());
}

TEST(Connection, AResetIsToldAndTheOthersGoOn) {
  Asking asking;
  auto other = asking.client->open({{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
  other->flush();
  asking.receive(kSettings + frame(kReset, 0, 1, std::string("\0\0\0\x07", 4)));
  std::deque<Bytes> got;
  EXPECT_EQ(asking.stream->take(got, kNoWait), Stream::Taken::kEnd);
  EXPECT_EQ(asking.stream->ending().error_code, kRefusedStream);
  EXPECT_FALSE(other->ended());
  asking.receive(frame(kHeaders, 4, 3, "\x88") + frame(kData, 1, 3, "hello"));
  ASSERT_EQ(other->take(got, kNoWait), Stream::Taken::kSome);
  EXPECT_EQ(got.back().view, "hello");
  EXPECT_TRUE(other->ending().complete);
}

TEST(Connection, RandomBytesInEitherRole) {
  std::mt19937 dice(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = round % 2 ? kHello : kSettings;
    const int frames = static_cast<int>(dice() % 8);
    for (int i = 0; i < frames; ++i) {
      std::string payload(dice() % 40, '\0');
      for (char& c : payload) c = static_cast<char>(dice() % 3 ? dice() % 16 : dice());
      bytes += frame(static_cast<int>(dice() % 11), static_cast<int>(dice() % 64), dice() % 5, payload);
    }
    auto sink = std::make_shared<Sink>();
    auto answer = [](const std::shared_ptr<Stream>& stream) {
      stream->respond({{":status", "200"}});
      stream->write("x", {}, Flush::kNow);
      stream->end({{"grpc-status", "0"}});
    };
    auto connection = round % 2 ? Connection::server(answer) : Connection::client();
    connection->start(sink);
    std::shared_ptr<Stream> stream;
    if (round % 2 == 0)
      stream = connection->open({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
    for (std::size_t at = 0; at < bytes.size(); at += 13) {
      const Bytes piece{std::string_view(bytes).substr(at, 13), nullptr};
      connection->receive({&piece, 1});
    }
    connection->end(ok());
    if (stream) {
      EXPECT_TRUE(stream->ended());
    }
  }
}

// Callbacks may use the stream, and are called no more once it is closed.
TEST(Connection, ChangesAreTold) {
  Asking asking;
  int told = 0;
  asking.stream->on_change([&] {
    ++told;
    (void)asking.stream->ended();
  });
  EXPECT_EQ(told, 1);
  asking.receive(kSettings + frame(kHeaders, 4, 1, "\x88"));
  EXPECT_EQ(told, 2);
  asking.client->end(ok());
  EXPECT_EQ(told, 3);
  asking.client->end(ok());
  asking.stream->reset(kCancel);
  EXPECT_EQ(told, 3);
}

}  // namespace
}  // namespace kiln::http2
