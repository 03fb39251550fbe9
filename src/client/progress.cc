#include "client/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "base/value.h"
#include "client/internal/views.h"

namespace kiln::client {
namespace {

class FdOutput final : public Output {
 public:
  explicit FdOutput(int fd) : fd_(fd) {}
  void write(std::string_view text) override {
    while (!text.empty()) {
      ssize_t count = ::write(fd_, text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  std::pair<int, int> size() const override {
    winsize size{};
    if (ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {80, 24};
    return {size.ws_col, size.ws_row};
  }

 private:
  int fd_;
};

class QuietView final : public ProgressView {
 public:
  void update(const ProgressUpdate&) override {}
  void refresh() override {}
  void finish() override {}
  bool looks() const override { return false; }
};

// The unit and the number in it; nothing below a thousand.
std::optional<std::pair<double, std::string_view>> scaled(std::int64_t bytes) {
  static constexpr std::string_view kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  int unit = -1;
  for (std::int64_t rest = bytes < 0 ? -bytes : bytes; rest >= 1000 && unit < 5; rest /= 1000) {
    value /= 1000;
    ++unit;
  }
  if (unit < 0) return std::nullopt;
  return std::pair{value, kUnits[unit]};
}

}  // namespace

std::unique_ptr<Output> make_fd_output(int fd) { return std::make_unique<FdOutput>(fd); }
std::unique_ptr<ProgressView> make_quiet_view() { return std::make_unique<QuietView>(); }

std::string human_bytes(std::int64_t bytes) {
  auto value = scaled(bytes);
  return value ? fmt::format("{:.2f}{}", value->first, value->second) : fmt::format("{}B", bytes);
}

std::string human_bytes_short(std::int64_t bytes) {
  auto value = scaled(bytes);
  return value ? fmt::format("{:g}{}", value->first, value->second) : fmt::format("{}B", bytes);
}

Result<std::unique_ptr<ProgressView>> make_view(std::string_view mode, int fd, const EnvironmentLookup& environment) {
  std::string chosen(mode.empty() ? "auto" : mode);
  if (chosen == "auto") {
    if (auto wanted = environment("BUILDKIT_PROGRESS"); wanted && !wanted->empty()) chosen = *wanted;
  }
  bool terminal = isatty(fd) == 1;
  if (chosen == "tty" && !terminal) {
    return environment_error(Code::kFailedPrecondition, "--progress=tty needs a terminal; use plain, rawjson or quiet");
  }
  if (chosen == "tty" || (chosen == "auto" && terminal))
    return make_tty_view(make_fd_output(fd), style_from(environment));
  if (chosen == "plain" || chosen == "auto") {
    return make_plain_view(make_fd_output(fd), environment("PROGRESS_NO_TRUNC") == "0");
  }
  if (chosen == "rawjson") return make_json_view(make_fd_output(fd));
  if (chosen == "quiet" || chosen == "none") return make_quiet_view();
  return user_error(
      Code::kInvalidArgument,
      fmt::format("invalid progress mode {}; there are auto, plain, tty, rawjson and quiet", quote(chosen)));
}

}  // namespace kiln::client
