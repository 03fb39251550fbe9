#include "session/internal/direct_door.h"

#include <openssl/crypto.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/digest.h"
#include "base/id.h"

namespace kiln::session::internal {
namespace {

// A daemon asks for a handful of directories at once, and says the secret with its first bytes. Whoever
// else on this machine comes only to stand in the way makes room when there are too many of them.
constexpr std::size_t kStrangersMax = 32;
constexpr std::size_t kGuestsMax = 256;
// For the first message: whoever only holds the line is sent away.
constexpr timeval kPatience{5, 0};

// From the kernel: OpenSSL's generator needs longer to begin than a small build does.
std::string random_hex(std::size_t bytes) { return hex_encode(random_bytes(bytes)); }

// Each ended by a NUL byte; none when the last is not.
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find('\0', at);
    if (end == std::string::npos) return {};
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

bool same_secret(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::unique_ptr<DirectDoor> DirectDoor::open(Handler handler) {
  std::string secret = random_hex(32), name = random_hex(16);
  name.insert(0, kDirectPrefix);
  host::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return nullptr;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return nullptr;
  if (::listen(socket.get(), 16) != 0) return nullptr;
  return std::unique_ptr<DirectDoor>(
      new DirectDoor(std::move(socket), std::move(name), std::move(secret), std::move(handler)));
}

DirectDoor::DirectDoor(host::Fd socket, std::string name, std::string secret, Handler handler)
    : socket_(std::move(socket)), name_(std::move(name)), secret_(std::move(secret)), handler_(std::move(handler)) {
  thread_ = std::jthread([this] { receive_guests(); });
}

DirectDoor::~DirectDoor() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    for (Guest& guest : guests_) guest.pipe->abort();
  }
  ::shutdown(socket_.get(), SHUT_RDWR);  // wakes accept
  thread_.join();
  guests_.clear();  // joins
}

void DirectDoor::make_room() {
  std::erase_if(guests_, [](Guest& guest) { return guest.state == Guest::State::kDone; });
  auto stranger = [](const Guest& guest) { return guest.state == Guest::State::kStranger; };
  if (static_cast<std::size_t>(std::count_if(guests_.begin(), guests_.end(), stranger)) < kStrangersMax) return;
  Guest& first = *std::find_if(guests_.begin(), guests_.end(), stranger);
  first.state = Guest::State::kSentAway;
  first.pipe->abort();
}

void DirectDoor::receive_guests() {
  while (true) {
    host::Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::lock_guard lock(mutex_);
    if (closing_) return;
    if (!socket.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;  // the tunnel still works
    }
    make_room();
    if (guests_.size() >= kGuestsMax) continue;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    Guest& guest = guests_.emplace_back();
    int raw = socket.get();
    guest.pipe = std::make_unique<DirectPipe>(std::move(socket));
    guest.thread = std::jthread([this, &guest, raw] { serve(guest, raw); });
  }
}

void DirectDoor::serve(Guest& guest, int socket) {
  DirectPipe& pipe = *guest.pipe;
  Pieces message;
  pipe.limit_messages(secret_.size());
  if (pipe.read(message) && same_secret(http2::flat(message), secret_)) {
    {
      std::lock_guard known(mutex_);
      guest.state = Guest::State::kKnown;
    }
    constexpr timeval kForever{};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &kForever, sizeof kForever);
    pipe.limit_messages(DirectPipe::kMessageBytesMax);
    std::vector<std::string> parts;
    if (pipe.read(message)) parts = parts_of(http2::flat(message));
    if (parts.size() % 2 == 1) {
      Headers headers;
      for (std::size_t i = 1; i < parts.size(); i += 2) headers.emplace(parts[i], parts[i + 1]);
      pipe.end(handler_(parts[0], headers, pipe));
    }
  }
  pipe.abort();
  std::lock_guard done(mutex_);
  guest.state = Guest::State::kDone;
}

}  // namespace kiln::session::internal
