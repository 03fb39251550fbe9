#include "session/internal/tree_sender.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <semaphore>
#include <thread>
#include <unordered_map>

#include "session/internal/file_intake.h"
#include "session/internal/packet.h"

namespace kiln::session::internal {
namespace {

constexpr std::size_t kDataBytes = 512 * 1024;
constexpr std::size_t kSmallBytes = 32 * 1024;
constexpr int kHangUpTries = 50;
// From here on a file is handed over rather than copied through the socket.
constexpr std::int64_t kPassedBytesMin = 128 * 1024;

// What the other end asked for, filled by the reading thread.
class Requests {
 public:
  enum class State { kOpen, kFin, kFailed };

  void add(std::uint32_t id) {
    std::lock_guard lock(mutex_);
    ids_.push_back(id);
    changed_.notify_one();
  }
  void end(State state, Status reason) {
    std::lock_guard lock(mutex_);
    if (state_ != State::kOpen) return;
    state_ = state;
    reason_ = std::move(reason);
    changed_.notify_one();
  }
  // The next request, if there is one already.
  std::optional<std::uint32_t> poll() {
    std::lock_guard lock(mutex_);
    return take();
  }
  // Waits for one; nothing when the other end is done or failed.
  std::optional<std::uint32_t> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ids_.empty() || state_ != State::kOpen; });
    if (state_ == State::kFailed) return std::nullopt;
    return take();
  }
  bool pending() {
    std::lock_guard lock(mutex_);
    return !ids_.empty();
  }
  Status failure() {
    std::lock_guard lock(mutex_);
    return state_ == State::kFailed ? reason_ : ok();
  }

 private:
  std::optional<std::uint32_t> take() {
    if (ids_.empty()) return std::nullopt;
    std::uint32_t id = ids_.front();
    ids_.pop_front();
    return id;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::uint32_t> ids_;
  State state_ = State::kOpen;
  Status reason_;
};

class TreeSender {
 public:
  TreeSender(PacketPipe& pipe, FileTree& tree, const SendOptions& options, std::stop_token stop)
      : pipe_(pipe),
        tree_(tree),
        progress_(options.progress),
        pass_files_(options.pass_files == PassFiles::kYes && pipe.takes_files()),
        stop_(std::move(stop)) {}

  // Whether the receiver was told why nothing more comes.
  bool refused() const { return refused_; }

  // The reading thread's work.
  void read_requests() {
    Packet packet;
    while (true) {
      Result<bool> got = pipe_.read(packet);
      if (!got.ok()) return requests_.end(Requests::State::kFailed, got.status());
      if (!*got) break;
      if (packet.type == PacketType::kRequest) {
        requests_.add(packet.id);
      } else if (packet.type == PacketType::kFin) {
        return requests_.end(Requests::State::kFin, ok());
      } else if (packet.type == PacketType::kError) {
        return requests_.end(Requests::State::kFailed,
                             peer_error(Code::kUnknown, fmt::format("error from receiver: {}", packet.data_text())));
      }
    }
    requests_.end(Requests::State::kFailed, lost());
  }

  Status send() {
    Status sent = send_all();
    // The receiver's own words say more than a broken pipe.
    if (!sent.ok() && !requests_.failure().ok() && !is_cancelled(sent)) sent = requests_.failure();
    if (progress_) progress_(pipe_.bytes_written());
    return sent;
  }

 private:
  Status send_all() {
    Status walked = tree_.walk([this](FileStat& stat) { return send_stat(stat); }, stop_);
    if (!walked.ok()) return refused_ ? walked : refuse(walked);
    KILN_RETURN_IF_ERROR(write(stat_end_packet(), MessagePipe::Flush::kNow));
    while (auto id = requests_.wait()) KILN_RETURN_IF_ERROR(send_file(*id));
    KILN_RETURN_IF_ERROR(requests_.failure());
    return write(fin_packet(), MessagePipe::Flush::kNow);
  }

  // The receiver is told why and hangs up.
  Status refuse(Status why) {
    refused_ = pipe_.write(error_packet(message_of(why)), MessagePipe::Flush::kNow);
    return why;
  }

  Status lost() const {
    if (stop_.stop_requested()) return cancelled();
    return peer_error(Code::kUnavailable, "the connection broke during the transfer of files");
  }

  Status write(std::string_view packet, MessagePipe::Flush flush) {
    tell_progress();
    return pipe_.write(packet, flush) ? ok() : lost();
  }

  void tell_progress() {
    if (!progress_ || ++packets_ % 32 != 0) return;
    auto now = std::chrono::steady_clock::now();
    if (now - told_ <= std::chrono::milliseconds(100)) return;
    told_ = now;
    progress_(pipe_.bytes_written());
  }

  Status send_stat(FileStat& stat) {
    if (stat.is_file()) files_.emplace(next_id_, stat.path);
    ++next_id_;
    KILN_RETURN_IF_ERROR(write(stat_packet(stat), MessagePipe::Flush::kLater));
    // Contents go out while the walk is on, so that the receiver's disk is busy, too.
    for (int i = 0; i < 4; ++i) {
      std::optional<std::uint32_t> id = requests_.poll();
      if (!id) break;
      KILN_RETURN_IF_ERROR(send_file(*id));
    }
    return requests_.failure();
  }

  Status send_file(std::uint32_t id) {
    auto it = files_.find(id);
    if (it == files_.end()) {
      return peer_error(Code::kInvalidArgument, fmt::format("invalid file id {}", id));
    }
    std::string path = std::move(it->second);
    files_.erase(it);
    // A file that went away meanwhile is sent empty, as every sender does. One that may not be read is
    // not: nobody would notice.
    Result<host::Fd> fd = tree_.open(path);
    if (!fd.ok() && errno_of(fd.status()) == EACCES) return refuse(fd.status());
    if (fd.ok()) {
      KILN_ASSIGN_OR_RETURN(Sent sent, send_contents(id, fd->get()));
      if (sent == Sent::kFile) return ok();
    }
    return write(data_end_packet(id), requests_.pending() ? MessagePipe::Flush::kLater : MessagePipe::Flush::kNow);
  }

  enum class Sent { kBytes, kFile };

  Result<Sent> send_contents(std::uint32_t id, int fd) {
    if (small_.empty()) small_.resize(kSmallBytes);
    KILN_ASSIGN_OR_RETURN(std::size_t got, host::read_some(fd, {small_.data(), small_.size()}));
    if (got == kSmallBytes && pass_files_ && pass_file(id, fd)) return Sent::kFile;
    if (got > 0) {
      std::string_view bytes(small_.data(), got);
      KILN_RETURN_IF_ERROR(write(data_packet_text(id, bytes), MessagePipe::Flush::kLater));
    }
    while (got > 0) {
      if (stop_.stop_requested()) return cancelled();
      // Most files end here; the second read tells.
      if (got < kSmallBytes) {
        KILN_ASSIGN_OR_RETURN(got, host::read_some(fd, {small_.data(), small_.size()}));
        if (got == 0) break;
        KILN_RETURN_IF_ERROR(write(data_packet_text(id, {small_.data(), got}), MessagePipe::Flush::kLater));
        continue;
      }
      std::shared_ptr<char[]> buffer = std::make_shared_for_overwrite<char[]>(kDataBytes);
      KILN_ASSIGN_OR_RETURN(std::size_t more, host::read_some(fd, {buffer.get(), kDataBytes}));
      if (more == 0) break;
      tell_progress();
      if (!pipe_.write_data(id, Bytes{{buffer.get(), more}, buffer})) return lost();
    }
    return Sent::kBytes;
  }

  // Hands over a large file on a file system that cannot keep its reader waiting for ever.
  bool pass_file(std::uint32_t id, int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < kPassedBytesMin || !on_this_machine(fd))
      return false;
    if (lseek(fd, 0, SEEK_SET) == 0 && pipe_.write_file(id, fd, info.st_size)) {
      tell_progress();
      return true;
    }
    lseek(fd, kSmallBytes, SEEK_SET);
    return false;
  }

  PacketPipe& pipe_;
  FileTree& tree_;
  const std::function<void(std::int64_t)>& progress_;
  const bool pass_files_;
  std::stop_token stop_;
  Requests requests_;
  std::unordered_map<std::uint32_t, std::string> files_;
  std::uint32_t next_id_ = 0;
  std::string small_;
  std::uint64_t packets_ = 0;
  bool refused_ = false;
  std::chrono::steady_clock::time_point told_{};
};

}  // namespace

Status send_tree(PacketPipe& pipe, FileTree& tree, const SendOptions& options, std::stop_token stop) {
  TreeSender sender(pipe, tree, options, stop);
  std::binary_semaphore hung_up(0);
  std::jthread reader([&] {
    sender.read_requests();
    hung_up.release();
  });
  Status sent = sender.send();
  // A cancelled call would overtake the words of the refusal.
  for (int i = 0; sender.refused() && !stop.stop_requested() && i < kHangUpTries; ++i) {
    if (hung_up.try_acquire_for(std::chrono::milliseconds(100))) break;
  }
  // A broken call ends by itself, with a status that says why; cancelling would hide that.
  if (!sent.ok() && sent.code() != Code::kUnavailable) options.cancel();
  return sent;  // the reader has ended or is ended by the cancelled call; joined here
}

}  // namespace kiln::session::internal
