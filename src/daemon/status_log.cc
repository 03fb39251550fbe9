#include "daemon/status_log.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/log.h"
#include "daemon/status_messages.h"
#include "host/fd.h"
#include "wire/control.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1;

// A frame is closed at this size when nobody reads; a client takes 16 MiB at most.
constexpr std::size_t kFrameBytes = 64 * 1024;
constexpr std::size_t kLogPieceBytes = 1024 * 1024;
constexpr std::size_t kHeaderBytes = 4;
constexpr std::uint32_t kFrameBytesMax = 16 * 1024 * 1024;

struct StepState {
  bool completed = false;
  bool cached = false;
  std::map<event::LogStream, LogClip> clips;
};

// Reads the frames' file from its beginning, by offset, so that watchers are not disturbed.
class FileSource final : public ByteSource {
 public:
  FileSource(host::Fd file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), size_ - at_);
    if (wanted == 0) return 0;
    const ssize_t got = ::pread(file_.get(), buffer.data(), wanted, static_cast<off_t>(at_));
    if (got < 0) return errno_error(errno, "read the build's log");
    at_ += static_cast<std::uint64_t>(got);
    return static_cast<std::size_t>(got);
  }

 private:
  host::Fd file_;
  std::uint64_t size_;
  std::uint64_t at_ = 0;
};

}  // namespace

struct StatusLog::State {
  host::Fd file;
  std::unique_ptr<content::BlobReader> recorded;  // instead of the file
  LogLimits limits;
  Clock* clock = nullptr;

  std::mutex mutex;
  api::StatusResponse pending;
  std::size_t pending_bytes = 0;
  std::uint64_t size = 0;  // of the file
  bool closed = false;
  bool broken = false;  // the disk refused; told once
  std::map<std::string, StepState> steps;
  int warnings = 0;

  // Held while watchers are called, so that forget() can wait for them. Taken after `mutex` is free.
  std::mutex watch_mutex;
  std::uint64_t next_watch = 1;
  std::map<std::uint64_t, std::function<bool()>> watchers;

  // The methods below run under `mutex`.
  void add_log(const event::VertexLog& log, std::string data);
  void flush();
  // Exactly `count` bytes, or false. Needs no lock: what is told of is there to stay.
  bool read_at(std::uint64_t offset, char* to, std::size_t count) const;
};

bool StatusLog::State::read_at(std::uint64_t offset, char* to, std::size_t count) const {
  std::size_t have = 0;
  while (have < count) {
    std::size_t got = 0;
    if (recorded != nullptr) {
      auto part = recorded->read_at(static_cast<std::int64_t>(offset + have), std::span(to + have, count - have));
      got = part.ok() ? *part : 0;
    } else {
      const ssize_t part = ::pread(file.get(), to + have, count - have, static_cast<off_t>(offset + have));
      got = part > 0 ? static_cast<std::size_t>(part) : 0;
    }
    if (got == 0) return false;
    have += got;
  }
  return true;
}

void StatusLog::State::add_log(const event::VertexLog& log, std::string data) {
  event::VertexLog piece{log.vertex, log.stream, log.timestamp, {}};
  for (std::size_t at = 0; at < data.size(); at += kLogPieceBytes) {
    piece.data = data.substr(at, kLogPieceBytes);
    to_message(piece, *pending.add_logs());
    pending_bytes += piece.data.size() + 100;
    if (pending_bytes >= kFrameBytes) flush();
  }
}

void StatusLog::State::flush() {
  if (pending_bytes == 0) return;
  std::string frame(kHeaderBytes, '\0');
  pending.AppendToString(&frame);
  const std::uint32_t length = static_cast<std::uint32_t>(frame.size() - kHeaderBytes);
  for (std::size_t i = 0; i < kHeaderBytes; ++i) frame[i] = static_cast<char>(length >> (8 * i) & 0xFF);
  pending.Clear();
  pending_bytes = 0;
  if (broken) return;
  std::size_t done = 0;
  while (done < frame.size()) {
    const ssize_t wrote =
        ::pwrite(file.get(), frame.data() + done, frame.size() - done, static_cast<off_t>(size + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      broken = true;
      log_error("the log of a build ends early: {}", std::strerror(errno));
      return;
    }
    done += static_cast<std::size_t>(wrote);
  }
  size += frame.size();
}

StatusLog::StatusLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
StatusLog::~StatusLog() = default;

Result<std::shared_ptr<StatusLog>> StatusLog::open(const std::string& directory, LogLimits limits, Clock& clock) {
  std::shared_ptr<StatusLog> log = make(limits, clock);
  KILN_RETURN_IF_ERROR(log->open_file(directory));
  return log;
}

std::shared_ptr<StatusLog> StatusLog::make(LogLimits limits, Clock& clock) {
  auto state = std::make_unique<State>();
  state->limits = limits;
  state->clock = &clock;
  return std::shared_ptr<StatusLog>(new StatusLog(std::move(state)));
}

Status StatusLog::open_file(const std::string& directory) {
  host::Fd file;
  if (directory.empty()) {
    file = host::Fd(::memfd_create("kiln-status", MFD_CLOEXEC));
    if (!file.valid()) return errno_error(errno, "make a log for the build");
  } else {
    // Unnamed: it goes with its last reader, a killed daemon leaves nothing.
    file = host::Fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file.valid()) {
      // Some file systems cannot make unnamed files.
      std::string path = directory + "/status-XXXXXX";
      file = host::Fd(::mkostemp(path.data(), O_CLOEXEC));
      if (file.valid()) ::unlink(path.c_str());
    }
    if (!file.valid()) return errno_error(errno, fmt::format("make a log for the build in '{}'", directory));
  }
  std::lock_guard lock(state_->mutex);
  state_->file = std::move(file);
  return ok();
}

std::shared_ptr<StatusLog> StatusLog::recorded(std::unique_ptr<content::BlobReader> frames) {
  auto state = std::make_unique<State>();
  state->clock = &system_clock();
  state->size = frames != nullptr ? static_cast<std::uint64_t>(frames->size()) : 0;
  state->recorded = std::move(frames);
  state->closed = true;
  return std::shared_ptr<StatusLog>(new StatusLog(std::move(state)));
}

template <typename Append>
void StatusLog::tell(Append append) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->closed) return;
    append(*state_);
    if (state_->pending_bytes >= kFrameBytes) state_->flush();
  }
  wake_watchers();
}

void StatusLog::wake_watchers() {
  std::lock_guard lock(state_->watch_mutex);
  std::erase_if(state_->watchers, [](const auto& watcher) { return !watcher.second(); });
}

void StatusLog::on(const event::Vertex& vertex) {
  tell([&](State& state) {
    StepState& step = state.steps[vertex.digest.str()];
    step.completed = step.completed || vertex.completed.has_value();
    step.cached = step.cached || vertex.cached;
    if (!vertex.error.empty() && vertex.completed) {
      for (auto& [stream, clip] : step.clips) {
        std::string tail = clip.tail();
        if (!tail.empty()) state.add_log({vertex.digest, stream, *vertex.completed, {}}, std::move(tail));
      }
    }
    if (vertex.completed) step.clips.clear();
    to_message(vertex, *state.pending.add_vertexes());
    state.pending_bytes += 200 + vertex.name.size() + 72 * vertex.inputs.size() + vertex.error.size();
  });
}

void StatusLog::on(const event::VertexStatus& status) {
  tell([&](State& state) {
    to_message(status, *state.pending.add_statuses());
    state.pending_bytes += 200 + status.id.size();
  });
}

void StatusLog::on(const event::VertexLog& log) {
  tell([&](State& state) {
    StepState& step = state.steps[log.vertex.str()];
    const Time now = state.clock->now();
    LogClip& clip = step.clips.try_emplace(log.stream, state.limits, now).first->second;
    std::string shown = clip.take(log.data, now);
    if (!shown.empty()) state.add_log(log, std::move(shown));
  });
}

void StatusLog::on(const event::VertexWarning& warning) {
  tell([&](State& state) {
    ++state.warnings;
    to_message(warning, *state.pending.add_warnings());
    state.pending_bytes += 300 + (warning.source ? warning.source->data.size() : 0);
  });
}

void StatusLog::close() {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->closed) return;
    state_->flush();
    state_->closed = true;
  }
  wake_watchers();
}

StatusLog::Chunk StatusLog::read(std::uint64_t cursor) {
  std::uint64_t size = 0;
  bool closed = false;
  {
    std::lock_guard lock(state_->mutex);
    if (cursor >= state_->size) state_->flush();
    size = state_->size;
    closed = state_->closed;
  }
  Chunk chunk{.frame = {}, .next = cursor, .end = closed && cursor >= size};
  if (cursor + kHeaderBytes > size) return chunk;
  unsigned char header[kHeaderBytes] = {};
  std::uint32_t length = 0;
  bool whole = state_->read_at(cursor, reinterpret_cast<char*>(header), kHeaderBytes);
  for (std::size_t i = kHeaderBytes; i-- > 0;) length = length << 8 | header[i];
  whole = whole && length <= kFrameBytesMax && cursor + kHeaderBytes + length <= size;
  if (whole) {
    chunk.frame.resize(length);
    whole = state_->read_at(cursor + kHeaderBytes, chunk.frame.data(), length);
  }
  if (!whole) {
    log_warn("the log of a build is damaged; it ends early");
    return {.frame = {}, .next = cursor, .end = true};
  }
  chunk.next = cursor + kHeaderBytes + length;
  chunk.end = closed && chunk.next >= size;
  return chunk;
}

bool StatusLog::has_frame(std::uint64_t cursor) const {
  std::lock_guard lock(state_->mutex);
  return cursor < state_->size;
}

bool StatusLog::has_news(std::uint64_t cursor) const {
  std::lock_guard lock(state_->mutex);
  return cursor < state_->size || state_->pending_bytes > 0;
}

bool StatusLog::closed() const {
  std::lock_guard lock(state_->mutex);
  return state_->closed;
}

std::uint64_t StatusLog::watch(std::function<bool()> wake) {
  std::lock_guard lock(state_->watch_mutex);
  const std::uint64_t id = state_->next_watch++;
  state_->watchers.emplace(id, std::move(wake));
  return id;
}

void StatusLog::forget(std::uint64_t id) {
  std::lock_guard lock(state_->watch_mutex);
  state_->watchers.erase(id);
}

StepCounts StatusLog::counts() const {
  std::lock_guard lock(state_->mutex);
  StepCounts counts{.total = static_cast<int>(state_->steps.size()), .warnings = state_->warnings};
  for (const auto& [digest, step] : state_->steps) {
    counts.completed += step.completed;
    counts.cached += step.cached;
  }
  return counts;
}

std::unique_ptr<ByteSource> StatusLog::source() {
  std::lock_guard lock(state_->mutex);
  state_->flush();
  auto copy = state_->file.duplicate();
  if (!copy.ok()) return std::make_unique<StringSource>("");
  return std::make_unique<FileSource>(std::move(copy).value(), state_->size);
}

}  // namespace kiln::daemon
