#include "guest/stdio_channel.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace kiln::guest {
namespace {

constexpr int kMessageMax = 16 * 1024 * 1024;

// Until one of the two ends.
void carry(int from, int to) {
  std::array<char, 64 * 1024> buffer;
  while (true) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    if (!host::write_all(to, {buffer.data(), static_cast<std::size_t>(got)}).ok()) return;
  }
}

}  // namespace

Result<std::unique_ptr<StdioChannel>> StdioChannel::open(int in, int out) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return errno_error(errno, "make a pair of sockets");
  std::unique_ptr<StdioChannel> made(new StdioChannel());
  made->ours_ = std::make_shared<host::Fd>(pair[0]);
  host::Fd theirs(pair[1]);
  if (::fcntl(theirs.get(), F_SETFL, O_NONBLOCK) != 0) return errno_error(errno, "make a socket not block");
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageMax);
  arguments.SetMaxSendMessageSize(kMessageMax);
  made->channel_ = grpc::CreateCustomInsecureChannelFromFd("gateway", theirs.release(), arguments);
  made->sending_ = std::thread([ours = made->ours_, out] { carry(ours->get(), out); });
  // Waits for the daemon's bytes as long as the program lives.
  std::thread([ours = made->ours_, in] {
    carry(in, ours->get());
    ::shutdown(ours->get(), SHUT_RDWR);
  }).detach();
  return made;
}

StdioChannel::~StdioChannel() {
  channel_.reset();
  ::shutdown(ours_->get(), SHUT_RDWR);
  sending_.join();
}

}  // namespace kiln::guest
