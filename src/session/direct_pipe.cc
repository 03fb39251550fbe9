#include "session/internal/direct_pipe.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace kiln::session::internal {
namespace {

constexpr std::size_t kHeadBytes = 5;
constexpr std::size_t kBufferBytes = 256 * 1024;
constexpr std::size_t kMessageBytesMin = 4 * 1024;
// Of one receive; senders attach one to a message.
constexpr std::size_t kFilesAtOnce = 16;

void put_u32(char* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(value >> (8 * i));
}

std::uint32_t get_u32(const char* from) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  return value;
}

// Writes all of it; the file goes with the first byte.
bool send_all(int socket, std::vector<iovec> parts, int file) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  std::size_t at = 0;
  while (at < parts.size()) {
    msghdr header{};
    header.msg_iov = &parts[at];
    header.msg_iovlen = std::min<std::size_t>(parts.size() - at, 64);
    if (file >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &file, sizeof file);
    }
    ssize_t n = ::sendmsg(socket, &header, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    file = -1;
    for (auto left = static_cast<std::size_t>(n); at < parts.size() && left >= parts[at].iov_len; ++at) {
      left -= parts[at].iov_len;
      if (left == 0) {
        ++at;
        n = 0;
        break;
      }
      n = static_cast<ssize_t>(left);
    }
    if (at < parts.size() && n > 0) {
      parts[at].iov_base = static_cast<char*>(parts[at].iov_base) + n;
      parts[at].iov_len -= static_cast<std::size_t>(n);
    }
  }
  return true;
}

}  // namespace

ssize_t DirectPipe::receive(char* to, std::size_t size) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFilesAtOnce)];
  while (true) {
    iovec part{to, size};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t n = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        files_.emplace_back(fd);
      }
    }
    return n;
  }
}

// Until the buffer holds that much.
bool DirectPipe::fill(std::size_t wanted) {
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  while (filled_ - at_ < wanted) {
    if (at_ == filled_) at_ = filled_ = 0;
    if (kBufferBytes - at_ < wanted) {
      std::memmove(buffer_.get(), buffer_.get() + at_, filled_ - at_);
      filled_ -= at_;
      at_ = 0;
    }
    ssize_t n = receive(buffer_.get() + filled_, kBufferBytes - filled_);
    if (n <= 0) return false;
    filled_ += static_cast<std::size_t>(n);
  }
  return true;
}

// What the buffer has first, the rest past it.
bool DirectPipe::read_into(char* to, std::size_t size) {
  if (size <= kBufferBytes / 2) {
    if (!fill(size)) return false;
    std::memcpy(to, buffer_.get() + at_, size);
    at_ += size;
    return true;
  }
  std::size_t have = std::min(size, filled_ - at_);
  std::memcpy(to, buffer_.get() + at_, have);
  at_ += have;
  while (have < size) {
    ssize_t n = receive(to + have, size - have);
    if (n <= 0) return false;
    have += static_cast<std::size_t>(n);
  }
  return true;
}

std::optional<DirectPipe::Head> DirectPipe::read_head() {
  if (!fill(kHeadBytes)) return std::nullopt;
  const char* bytes = buffer_.get() + at_;
  Head head{static_cast<Kind>(bytes[0]), get_u32(bytes + 1)};
  at_ += kHeadBytes;
  if (head.kind > Kind::kEnd || head.size > kMessageBytesMax) return std::nullopt;
  return head;
}

bool DirectPipe::read(Pieces& message) {
  message.clear();
  file_.reset();
  if (ended_) return false;
  std::optional<Head> head = read_head();
  if (!head) return false;
  if (head->size > message_bytes_) {
    message_bytes_ = std::max(head->size, kMessageBytesMin);
    message_ = std::make_unique_for_overwrite<char[]>(message_bytes_);
  }
  if (!read_into(message_.get(), head->size)) return false;
  if (head->kind == Kind::kEnd) {
    parse_end({message_.get(), head->size});
    return false;
  }
  if (head->kind == Kind::kMessageWithFile) {
    if (files_.empty()) return false;
    file_ = std::move(files_.front());
    files_.pop_front();
  }
  if (head->size > 0) message.emplace_back(message_.get(), head->size);
  return true;
}

void DirectPipe::parse_end(std::string_view bytes) {
  ended_ = peer_error(Code::kInvalidArgument, "the other end's last words make no sense");
  if (bytes.size() < 8) return;
  std::uint32_t code = get_u32(bytes.data()), words = get_u32(bytes.data() + 4);
  bytes.remove_prefix(8);
  if (words > bytes.size() || code > 16) return;
  ended_ = to_status({static_cast<int>(code), std::string(bytes.substr(0, words)), std::string(bytes.substr(words))});
}

bool DirectPipe::send(Kind kind, std::string_view head, std::string_view body, int file) {
  char frame[kHeadBytes];
  frame[0] = static_cast<char>(kind);
  put_u32(frame + 1, static_cast<std::uint32_t>(head.size() + body.size()));
  std::vector<iovec> parts = {{frame, sizeof frame}};
  for (std::string_view part : {head, body}) {
    if (!part.empty()) parts.push_back({const_cast<char*>(part.data()), part.size()});
  }
  return send_all(socket_.get(), std::move(parts), file);
}

std::string DirectPipe::frame_of_message(std::string_view message) {
  std::string frame(kHeadBytes, '\0');
  frame[0] = static_cast<char>(Kind::kMessage);
  put_u32(frame.data() + 1, static_cast<std::uint32_t>(message.size()));
  return frame.append(message);
}

bool DirectPipe::write(std::string_view head, const Bytes& body, Flush) {
  return send(Kind::kMessage, head, body.view, -1);
}

bool DirectPipe::write_file(std::string_view message, int file) {
  return send(Kind::kMessageWithFile, message, {}, file);
}

bool DirectPipe::write_from(std::string_view start, const host::FileBytes& rest) {
  char head[kHeadBytes];
  head[0] = static_cast<char>(Kind::kMessage);
  put_u32(head + 1, static_cast<std::uint32_t>(start.size() + rest.size));
  std::vector<iovec> parts = {{head, sizeof head}};
  if (!start.empty()) parts.push_back({const_cast<char*>(start.data()), start.size()});
  if (!send_all(socket_.get(), std::move(parts), -1)) return false;
  auto at = static_cast<off_t>(rest.offset);
  for (std::uint64_t left = rest.size; left > 0;) {
    ssize_t n = ::sendfile(socket_.get(), rest.file, &at, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      abort();
      return false;
    }
    left -= static_cast<std::uint64_t>(n);
  }
  return true;
}

void DirectPipe::end(const Status& status) {
  const http2::Outcome told = to_outcome(status);
  std::string bytes(8, '\0');
  put_u32(bytes.data(), static_cast<std::uint32_t>(told.code));
  put_u32(bytes.data() + 4, static_cast<std::uint32_t>(told.message.size()));
  bytes += told.message;
  bytes += told.details;
  (void)send(Kind::kEnd, bytes, {}, -1);
  ::shutdown(socket_.get(), SHUT_WR);
}

void DirectPipe::abort() { ::shutdown(socket_.get(), SHUT_RDWR); }
void DirectPipe::stop_reading() { ::shutdown(socket_.get(), SHUT_RD); }

}  // namespace kiln::session::internal
