// dial-stdio between two ends of which either may go first: all bytes arrive, and nobody is told of an
// error.
#include "client/internal/carry.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "host/fd.h"

namespace kiln::client {
namespace {

struct Ends {
  Ends() {
    ::signal(SIGPIPE, SIG_IGN);
    int fds[2];
    EXPECT_EQ(::pipe(fds), 0);
    in = host::Fd(fds[0]), to_in = host::Fd(fds[1]);
    EXPECT_EQ(::pipe(fds), 0);
    from_out = host::Fd(fds[0]), out = host::Fd(fds[1]);
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    socket = host::Fd(fds[0]), daemon = host::Fd(fds[1]);
    thread = std::jthread([this](std::stop_token stop) {
      result = carry(in.get(), out.get(), socket.get(), stop);
      socket.reset();
      out.reset();
    });
  }
  host::Fd in, to_in, from_out, out, socket, daemon;
  Status result;
  std::jthread thread;
};

std::string read_text(int fd, std::size_t size) {
  std::string text(size, '\0');
  ssize_t got = ::read(fd, text.data(), size);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

TEST(Carry, BytesGoBothWaysUntilTheDaemonEnds) {
  Ends ends;
  ASSERT_TRUE(host::write_all(ends.to_in.get(), "question").ok());
  EXPECT_EQ(read_text(ends.daemon.get(), 100), "question");
  ends.to_in.reset();
  EXPECT_EQ(read_text(ends.daemon.get(), 100), "");
  ASSERT_TRUE(host::write_all(ends.daemon.get(), "answer").ok());
  EXPECT_EQ(read_text(ends.from_out.get(), 100), "answer");
  ends.daemon.reset();
  ends.thread.join();
  EXPECT_TRUE(ends.result.ok()) << ends.result;
  EXPECT_EQ(read_text(ends.from_out.get(), 100), "");
}

TEST(Carry, ACallerThatGoesFirstIsNoError) {
  Ends ends;
  ends.from_out.reset();
  ends.to_in.reset();
  ASSERT_TRUE(host::write_all(ends.daemon.get(), "nobody reads this").ok());
  ends.thread.join();
  EXPECT_TRUE(ends.result.ok()) << ends.result;
}

TEST(Carry, ADaemonThatGoesWithWordsUnreadIsNoError) {
  Ends ends;
  ASSERT_TRUE(host::write_all(ends.to_in.get(), "question").ok());
  EXPECT_EQ(read_text(ends.daemon.get(), 1), "q");
  ends.daemon.reset();  // what it has not read resets the connection
  (void)host::write_all(ends.to_in.get(), "more");
  ends.thread.join();
  EXPECT_TRUE(ends.result.ok()) << ends.result;
}

}  // namespace
}  // namespace kiln::client
