#include "session/internal/file_intake.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "host/fd.h"

namespace kiln::session::internal {
namespace {

constexpr std::size_t kPieceBytes = 1 << 20;
constexpr std::size_t kPieces = 4;
// Below, a second thread costs more than it hashes.
constexpr std::int64_t kThreadBytes = 2 << 20;

// Hashes pieces in their order in a thread of its own, while they are written.
class HashingThread {
 public:
  explicit HashingThread(ContentHasher& hasher) : hasher_(hasher), thread_([this] { work(); }) {}
  ~HashingThread() { finish(); }

  // A piece that is not being hashed; waits for one.
  std::string& free_piece() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return given_ - hashed_ < kPieces; });
    std::string& piece = pieces_[given_ % kPieces];
    lock.unlock();
    if (piece.empty()) piece.resize(kPieceBytes);
    return piece;
  }
  // The first `size` bytes of the piece just filled; it must stay as it is.
  void give(std::size_t size) {
    std::lock_guard lock(mutex_);
    sizes_[given_++ % kPieces] = size;
    changed_.notify_all();
  }
  // Waits until all is hashed.
  void finish() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ended_ || hashed_ < given_; });
      if (hashed_ == given_) return;
      std::string_view piece(pieces_[hashed_ % kPieces].data(), sizes_[hashed_ % kPieces]);
      lock.unlock();
      hasher_.update(piece);
      lock.lock();
      ++hashed_;
      changed_.notify_all();
    }
  }

  ContentHasher& hasher_;
  std::array<std::string, kPieces> pieces_;
  std::array<std::size_t, kPieces> sizes_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t given_ = 0, hashed_ = 0;
  bool ended_ = false;
  std::jthread thread_;
};

}  // namespace

bool on_this_machine(int file) {
  struct statfs info;
  if (fstatfs(file, &info) != 0) return false;
  switch (static_cast<std::uint32_t>(info.f_type)) {
    case TMPFS_MAGIC:
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case 0x2fc12fc1:  // ZFS
      return true;
    default: return false;
  }
}

Result<std::int64_t> take_contents(int from, int to, ContentHasher* hasher,
                                   const std::function<void(std::int64_t)>& moved, std::stop_token stop) {
  struct stat info;
  if (fstat(from, &info) != 0 || !S_ISREG(info.st_mode) || !on_this_machine(from)) {
    return peer_error(Code::kInvalidArgument, "the sender handed over what is no file of this machine");
  }
  std::optional<HashingThread> thread;
  if (hasher && info.st_size >= kThreadBytes) thread.emplace(*hasher);
  std::string own;
  if (!thread) own.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(info.st_size, 1, kPieceBytes)));
  std::int64_t total = 0;
  while (total < info.st_size) {
    if (stop.stop_requested()) return cancelled();
    std::string& piece = thread ? thread->free_piece() : own;
    auto wanted =
        static_cast<std::size_t>(std::min<std::int64_t>(info.st_size - total, static_cast<std::int64_t>(piece.size())));
    KILN_ASSIGN_OR_RETURN(std::size_t n, host::read_some(from, {piece.data(), wanted}));
    if (n == 0) break;  // became shorter meanwhile
    std::string_view bytes(piece.data(), n);
    if (thread) thread->give(n);
    KILN_RETURN_IF_ERROR(host::write_all(to, bytes));
    if (hasher && !thread) hasher->update(bytes);
    total += static_cast<std::int64_t>(n);
    if (moved) moved(total);
  }
  if (thread) thread->finish();
  return total;
}

}  // namespace kiln::session::internal
