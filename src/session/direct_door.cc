#include "session/internal/direct_door.h"

#include <openssl/crypto.h>
#include <poll.h>
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
constexpr std::size_t kGuestsMax = 64;
// For the secret: whoever only holds the line is sent away.
constexpr auto kPatience = std::chrono::seconds(5);

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
  thread_ = std::jthread([this] { receive(); });
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

// One thread hears all strangers; nobody of them gets one of their own.
void DirectDoor::receive() {
  std::list<Stranger> strangers;
  while (true) {
    std::vector<pollfd> waiting = {{socket_.get(), POLLIN, 0}};
    for (const Stranger& one : strangers) waiting.push_back({one.socket.get(), POLLIN, 0});
    if (::poll(waiting.data(), waiting.size(), strangers.empty() ? -1 : 1000) < 0 && errno != EINTR) return;
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(strangers, [&](Stranger& one) { return settle(one) || one.until < now; });
    if (waiting[0].revents != 0 && !accept_one(strangers)) return;
  }
}

// False when the door is closed.
bool DirectDoor::accept_one(std::list<Stranger>& strangers) {
  host::Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  {
    std::lock_guard lock(mutex_);
    if (closing_) return false;
  }
  if (!socket.valid()) return errno == EINTR || errno == ECONNABORTED;  // else the tunnel still works
  if (strangers.size() == kStrangersMax) strangers.pop_front();  // it was heard a moment ago, and had said nothing
  strangers.push_back({std::move(socket), std::chrono::steady_clock::now() + kPatience, {}});
  if (settle(strangers.back())) strangers.pop_back();
  return true;
}

// What it has said so far.
DirectDoor::Stranger::Is DirectDoor::listen_to(Stranger& stranger) const {
  const std::string expected = DirectPipe::frame_of_message(secret_);
  std::string bytes(expected.size() - stranger.said.size(), '\0');
  const ssize_t got = ::recv(stranger.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Stranger::Is::kWaiting;
  if (got <= 0) return Stranger::Is::kNobody;
  stranger.said.append(bytes, 0, static_cast<std::size_t>(got));
  // The frame's head is no secret: who gets that wrong need not be heard to the end.
  const std::size_t head = expected.size() - secret_.size();
  if (stranger.said.size() >= head && stranger.said.compare(0, head, expected, 0, head) != 0)
    return Stranger::Is::kNobody;
  if (stranger.said.size() < expected.size()) return Stranger::Is::kWaiting;
  return same_secret(stranger.said, expected) ? Stranger::Is::kKnown : Stranger::Is::kNobody;
}

// Whether it is no stranger any more: invited in, or to be sent away.
bool DirectDoor::settle(Stranger& stranger) {
  const Stranger::Is what = listen_to(stranger);
  if (what == Stranger::Is::kKnown) invite(std::move(stranger.socket));
  return what != Stranger::Is::kWaiting;
}

void DirectDoor::invite(host::Fd socket) {
  std::lock_guard lock(mutex_);
  std::erase_if(guests_, [](Guest& guest) { return guest.done; });
  if (closing_ || guests_.size() >= kGuestsMax) return;
  Guest& guest = guests_.emplace_back();
  guest.pipe = std::make_unique<DirectPipe>(std::move(socket));
  guest.thread = std::jthread([this, &guest] { serve(guest); });
}

void DirectDoor::serve(Guest& guest) {
  DirectPipe& pipe = *guest.pipe;
  Pieces message;
  std::vector<std::string> parts;
  if (pipe.read(message)) parts = parts_of(http2::flat(message));
  if (parts.size() % 2 == 1) {
    Headers headers;
    for (std::size_t i = 1; i < parts.size(); i += 2) headers.emplace(parts[i], parts[i + 1]);
    pipe.end(handler_(parts[0], headers, pipe));
  }
  pipe.abort();
  std::lock_guard done(mutex_);
  guest.done = true;
}

}  // namespace kiln::session::internal
