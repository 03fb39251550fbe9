// The session's tunnel when the other end misbehaves: the daemon's calls end, and the next session works.
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <thread>

#include "session/internal/call.h"
#include "session/internal/packet.h"
#include "session/secrets.h"
#include "session/session_fixture.h"
#include "session/upload.h"

namespace kiln::session {
namespace {

using namespace std::chrono_literals;
namespace control = moby::buildkit::v1;

// A client that says what it likes inside its session.
struct OddClient {
  explicit OddClient(Daemon& daemon, const std::string& id) {
    context.AddMetadata("x-docker-expose-session-uuid", id);
    stub = control::Control::NewStub(grpc::CreateChannel(daemon.address(), grpc::InsecureChannelCredentials()));
    stream = stub->Session(&context);
  }
  bool say(const std::string& bytes) {
    control::BytesMessage message;
    message.set_data(bytes);
    return stream->Write(message);
  }
  void hang_up() {
    control::BytesMessage ignored;
    while (stream->Read(&ignored)) {
    }
    (void)stream->Finish();
  }
  grpc::ClientContext context;
  std::unique_ptr<control::Control::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<control::BytesMessage, control::BytesMessage>> stream;
};

bool gone(Daemon& daemon) {
  for (int i = 0; i < 500 && !daemon.sessions.list().empty(); ++i) std::this_thread::sleep_for(10ms);
  return daemon.sessions.list().empty();
}

class Tunnel : public testing::TestWithParam<Ears> {};
INSTANTIATE_TEST_SUITE_P(BothEars, Tunnel, testing::Values(Ears::kGrpc, Ears::kOwn));

TEST_P(Tunnel, NonsenseEndsTheSessionAndWhatIsAskedOfIt) {
  Daemon daemon(GetParam());
  int number = 0;
  for (const std::string& bytes : {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string(1 << 20, '\xff'),
                                   std::string("\0\0\x05\0\0\0\0\0\x01hello", 14)}) {
    std::string id = "odd" + std::to_string(++number);
    OddClient client(daemon, id);
    ASSERT_TRUE(daemon.sessions.get(id, 5s, {}).ok());
    SessionGroup group(daemon.sessions, [&] { return std::vector<std::string>{id}; });
    std::jthread speaker([&] {
      std::this_thread::sleep_for(20ms);
      client.say(bytes);
    });
    auto secret = secret_asker(group)->get_secret("x", {});
    EXPECT_EQ(secret.status().code(), Code::kUnavailable) << secret.status();
    EXPECT_TRUE(gone(daemon));
    client.hang_up();
  }
}

TEST_P(Tunnel, AClientThatSaysNothingCanBeLeft) {
  Daemon daemon(GetParam());
  OddClient client(daemon, "silent");
  ASSERT_TRUE(daemon.sessions.get("silent", 5s, {}).ok());
  SessionGroup group(daemon.sessions, [] { return std::vector<std::string>{"silent"}; });
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  EXPECT_TRUE(is_cancelled(secret_asker(group)->get_secret("x", stop.get_token()).status()));
  client.context.TryCancel();
  client.hang_up();
  EXPECT_TRUE(gone(daemon));
}

// The daemon's own end closes while the client does not read.
TEST_P(Tunnel, ADaemonCanCloseASessionWhoseClientIsStuck) {
  Daemon daemon(GetParam());
  OddClient client(daemon, "stuck");
  auto session = daemon.sessions.get("stuck", 5s, {});
  ASSERT_TRUE(session.ok());
  client.say(std::string("\0\0\0\4\0\0\0\0\0", 9));
  internal::TunnelCall call(**session, "/moby.upload.v1.Upload/Pull", {});
  std::jthread writer([&] {
    while (call.write({}, http2::owned(std::string(1 << 20, 'x')), http2::Flush::kNow)) {
    }
  });
  std::this_thread::sleep_for(100ms);
  (*session)->close();
  writer.join();
  EXPECT_EQ(call.finish().code(), Code::kUnavailable);
  client.context.TryCancel();
  client.hang_up();
  EXPECT_TRUE(gone(daemon));
}

// A stream that breaks in the middle is no stream that ended.
TEST_P(Tunnel, AnUploadThatBreaksIsAnError) {
  Daemon daemon(GetParam());
  struct Endless final : ByteSource {
    Result<std::size_t> read(std::span<char> buffer) override {
      std::fill(buffer.begin(), buffer.end(), 'x');
      return buffer.size();
    }
  };
  Offers offers;
  offers.uploads["/archive"] = [] { return std::unique_ptr<ByteSource>(new Endless); };
  auto client = daemon.connect(std::move(offers));
  auto source = pull_upload(daemon.group(*client), "http://buildkit-session/archive", {});
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<char> buffer(1 << 20);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE((*source)->read(buffer).ok());
  client->close();
  Result<std::size_t> got = 1u;
  while (got.ok() && *got > 0) got = (*source)->read(buffer);
  EXPECT_FALSE(got.ok());
}

TEST(BytesMessages, AreReadHoweverTheyAreCut) {
  const std::string content(300, 'c');
  const std::string whole = internal::bytes_message_head(content.size()) + content;
  for (std::size_t cut = 0; cut <= 20; ++cut) {
    for (std::size_t second = cut; second <= 20; ++second) {
      std::string_view bytes = whole;
      http2::Pieces pieces = {bytes.substr(0, cut), bytes.substr(cut, second - cut), bytes.substr(second)};
      ASSERT_TRUE(internal::bytes_of_message(pieces).ok());
      EXPECT_EQ(http2::flat(pieces), content);
    }
  }
  for (const std::string& bad : {std::string("\x0a\x05"
                                             "abc"),
                                 std::string("\x0a\x02"
                                             "abc"),
                                 std::string("\x12\x01"
                                             "a"),
                                 std::string("\x0a")}) {
    http2::Pieces pieces = {bad};
    EXPECT_EQ(internal::bytes_of_message(pieces).code(), Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace kiln::session
