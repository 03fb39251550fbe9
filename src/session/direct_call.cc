#include "session/internal/direct_call.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>

#include "session/internal/direct_door.h"

namespace kiln::session::internal {
namespace {

class DirectCall final : public ClientCall {
 public:
  DirectCall(host::Fd socket, std::stop_token stop)
      : pipe_(std::move(socket)),
        stop_(std::move(stop)),
        on_stop_(stop_, std::function<void()>([this] { pipe_.abort(); })) {}

  bool begin(std::string_view secret, const char* method, const Metadata& metadata) {
    std::string text(method);
    text += '\0';
    for (const auto& [name, value] : metadata) {
      text += name;
      text += '\0';
      text += value.c_str();  // up to a NUL, which would end it
      text += '\0';
    }
    return pipe_.write(secret, {}, Flush::kNow) && pipe_.write(text, {}, Flush::kNow);
  }

  bool read(Pieces& message) override { return pipe_.read(message); }
  bool write(std::string_view head, const Bytes& body, Flush flush) override { return pipe_.write(head, body, flush); }
  bool takes_files() const override { return true; }
  bool write_file(std::string_view message, int file) override { return pipe_.write_file(message, file); }
  bool write_from(std::string_view start, const host::FileBytes& rest) override {
    return pipe_.write_from(start, rest);
  }
  host::Fd take_file() override { return pipe_.take_file(); }
  bool complete() const override { return pipe_.complete(); }
  void writes_done() override { pipe_.end(ok()); }
  void cancel() override { pipe_.abort(); }

  Status finish() override {
    if (stop_.stop_requested()) return cancelled();
    Pieces ignored;
    while (!pipe_.ended() && pipe_.read(ignored)) {
    }
    if (pipe_.ended()) return *pipe_.ended();
    return stop_.stop_requested() ? cancelled()
                                  : peer_error(Code::kUnavailable, "the client went away during a transfer");
  }

 private:
  DirectPipe pipe_;
  std::stop_token stop_;
  std::stop_callback<std::function<void()>> on_stop_;
};

bool is_door_name(std::string_view name) {
  return name.starts_with(kDirectPrefix) && name.size() == kDirectPrefix.size() + 32 &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c == '-' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

// Only doors are knocked at: a client may not send the daemon to other sockets of the machine.
host::Fd connect_to(std::string_view name) {
  if (!is_door_name(name)) return {};
  host::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  // A full queue would make it wait: the tunnel does not.
  constexpr timeval kPatience{1, 0}, kForever{};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return {};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kForever, sizeof kForever);
  return socket;
}

}  // namespace

std::unique_ptr<ClientCall> start_call(Session& session, const char* method, const CallOptions& options) {
  const std::string& door = session.door();
  std::size_t colon = door.find(kDirectSeparator);
  if (colon != std::string::npos && !session.closed()) {
    if (host::Fd socket = connect_to(std::string_view(door).substr(0, colon)); socket.valid()) {
      auto call = std::make_unique<DirectCall>(std::move(socket), options.stop);
      if (call->begin(std::string_view(door).substr(colon + 1), method, options.metadata)) return call;
    }
  }
  return std::make_unique<TunnelCall>(session, method, options);
}

}  // namespace kiln::session::internal
