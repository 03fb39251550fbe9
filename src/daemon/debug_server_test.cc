// The debug pages over a real socket: what is there, what is not, and that odd clients do no harm.
#include "daemon/debug_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "host/fd.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class DebugServerTest : public testing::Test {
 protected:
  DebugServerTest() {
    DebugPages pages = process_pages();
    pages["/metrics"] = {.content_type = "text/plain; version=0.0.4", .make = [] { return std::string("one 1\n"); }};
    server_ = DebugServer::start("unix://" + path_, std::move(pages)).value();
  }
  host::Fd connect() {
    host::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
    return fd;
  }
  std::string ask(const std::string& request) {
    host::Fd fd = connect();
    (void)!::write(fd.get(), request.data(), request.size());
    ::shutdown(fd.get(), SHUT_WR);
    return host::read_to_end(fd.get(), 1 << 20).value_or("");
  }

  host::TempDir directory_ = host::TempDir::make("debug-test").value();
  std::string path_ = directory_.path() + "/debug.sock";
  std::unique_ptr<DebugServer> server_;
};

TEST_F(DebugServerTest, PagesAreServedWithTheirTypes) {
  std::string answer = ask("GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer,
              StartsWith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 6\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\none 1\n"));
  EXPECT_THAT(ask("GET /healthz HTTP/1.1\r\n\r\n"), HasSubstr("\r\n\r\nok\n"));
  EXPECT_THAT(ask("GET /debug/vars HTTP/1.1\r\n\r\n"), HasSubstr("\"threads\""));
  EXPECT_THAT(ask("GET / HTTP/1.1\r\n\r\n"), HasSubstr("/metrics\n"));
}

TEST_F(DebugServerTest, WhatHasNoMeaningHereSaysSo) {
  EXPECT_THAT(ask("GET /debug/pprof/heap HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(ask("GET /nothing HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("DELETE /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
}

TEST_F(DebugServerTest, AClientThatSaysNothingOrTooMuchIsLeft) {
  EXPECT_EQ(ask(""), "");
  EXPECT_THAT(ask("\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  (void)ask(std::string(100'000, 'x'));
  EXPECT_THAT(ask("GET /healthz HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(DebugServerTest, AClientThatTakesItsTimeKeepsNobodyWaiting) {
  host::Fd slow = connect();
  ASSERT_EQ(::send(slow.get(), "GET /me", 7, 0), 7);
  EXPECT_THAT(ask("GET /healthz HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  // It was not given up for that.
  ASSERT_EQ(::send(slow.get(), "trics HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
  EXPECT_THAT(host::read_to_end(slow.get(), 1 << 20).value_or(""), HasSubstr("\r\n\r\none 1\n"));
}

}  // namespace
}  // namespace kiln::daemon
