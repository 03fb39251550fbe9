#include "host/fd.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/id.h"

namespace kiln::host {

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<Fd> Fd::duplicate() const {
  int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return errno_error(errno, "duplicate a file descriptor");
  return Fd(copy);
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) { return open_at(AT_FDCWD, path, flags, mode); }

Result<Fd> open_at(int dir, const std::string& path, int flags, mode_t mode) {
  int fd;
  do {
    fd = ::openat(dir, path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno_error(errno, fmt::format("open '{}'", path));
  return Fd(fd);
}

Result<std::size_t> read_some(int fd, std::span<char> buffer) {
  ssize_t n;
  do {
    n = ::read(fd, buffer.data(), buffer.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno_error(errno, "read a file");
  return static_cast<std::size_t>(n);
}

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "write a file");
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return ok();
}

Result<std::string> read_to_end(int fd, std::size_t bytes_max) {
  std::string text;
  struct stat info;
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    text.reserve(std::min<std::size_t>(static_cast<std::size_t>(info.st_size) + 1, bytes_max + 1));
  }
  std::size_t used = 0;
  for (;;) {
    std::size_t room = std::max<std::size_t>(text.capacity() - used, 4096);
    text.resize(used + room);
    KILN_ASSIGN_OR_RETURN(std::size_t n, read_some(fd, std::span(text.data() + used, room)));
    used += n;
    if (used > bytes_max) {
      return make_error(Fault::kUser, Code::kResourceExhausted,
                        fmt::format("file is larger than the {} bytes allowed here", bytes_max));
    }
    if (n == 0) break;
  }
  text.resize(used);
  return text;
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  KILN_ASSIGN_OR_RETURN(Fd file, open_file(path, O_RDONLY));
  Result<std::string> text = read_to_end(file.get(), bytes_max);
  if (!text.ok()) return annotate(text.status(), fmt::format("'{}'", path));
  return text;
}

Status write_file(const std::string& path, std::string_view bytes, mode_t mode) {
  KILN_ASSIGN_OR_RETURN(Fd file, open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  if (Status written = write_all(file.get(), bytes); !written.ok()) return annotate(written, fmt::format("'{}'", path));
  return ok();
}

Status replace_file(const std::string& path, std::string_view bytes, mode_t mode) {
  std::string draft = fmt::format("{}.{}", path, new_id());
  Status written = write_file(draft, bytes, mode);
  if (written.ok() && ::rename(draft.c_str(), path.c_str()) != 0) {
    written = errno_error(errno, fmt::format("rename '{}'", draft));
  }
  if (!written.ok()) ::unlink(draft.c_str());
  return written;
}

}  // namespace kiln::host
