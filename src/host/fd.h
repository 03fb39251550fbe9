// A file descriptor that closes itself, and whole reads and writes on one.
//
//   KILN_ASSIGN_OR_RETURN(Fd file, open_file("/etc/hosts", O_RDONLY));
//   KILN_RETURN_IF_ERROR(write_all(file.get(), "text"));
//
// Failures carry the errno and the path in quotes (errno_error). Calls block as the file does.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/stream.h"

namespace kiln::host {

// Owner of one descriptor; movable. One thread at a time.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Gives the descriptor away; the caller closes it.
  int release() { return std::exchange(fd_, -1); }
  void reset();
  // Another owner of the same open file, close-on-exec.
  Result<Fd> duplicate() const;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC.
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0644);
// openat(2) with O_CLOEXEC. `path` is trusted: see fs.h for names from outside.
Result<Fd> open_at(int dir, const std::string& path, int flags, mode_t mode = 0644);

// One read; 0 at the end. Repeats on EINTR.
Result<std::size_t> read_some(int fd, std::span<char> buffer);
Status write_all(int fd, std::string_view bytes);
// Reads to the end; ResourceExhausted above `bytes_max`.
Result<std::string> read_to_end(int fd, std::size_t bytes_max);
Result<std::string> read_file(const std::string& path, std::size_t bytes_max = 64 << 20);
// Creates or truncates, writes, closes.
Status write_file(const std::string& path, std::string_view bytes, mode_t mode = 0644);
// The same, but readers see the old or the new file, never a part: a temporary file and rename.
Status replace_file(const std::string& path, std::string_view bytes, mode_t mode = 0644);

// Bytes of an open file. Owns it.
class FdSource final : public ByteSource {
 public:
  explicit FdSource(Fd fd) : fd_(std::move(fd)) {}
  Result<std::size_t> read(std::span<char> buffer) override { return read_some(fd_.get(), buffer); }

 private:
  Fd fd_;
};

// Bytes into an open file. Borrows it: the file outlives the sink.
class FdSink final : public ByteSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  Status write(std::string_view bytes) override { return write_all(fd_, bytes); }

 private:
  int fd_;
};

}  // namespace kiln::host
