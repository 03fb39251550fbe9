// The views behind make_view. Private to the room.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "client/progress.h"

namespace kiln::client {

// Where a view writes. One thread at a time.
class Output {
 public:
  virtual ~Output() = default;
  // All of it; a reader that went away is no error of ours.
  virtual void write(std::string_view text) = 0;
  // Columns and rows; {80, 24} when unknown.
  virtual std::pair<int, int> size() const { return {80, 24}; }
};
// Not closed.
std::unique_ptr<Output> make_fd_output(int fd);

struct TtyStyle {
  // Escape sequences that begin a colour; empty: none.
  std::string run, cancel, warning, error;
  int log_lines = 6;  // of a running step that are shown below it
};

std::unique_ptr<ProgressView> make_plain_view(std::unique_ptr<Output> out, bool truncate_names);
std::unique_ptr<ProgressView> make_tty_view(std::unique_ptr<Output> out, TtyStyle style);
std::unique_ptr<ProgressView> make_json_view(std::unique_ptr<Output> out);
std::unique_ptr<ProgressView> make_quiet_view();

// From NO_COLOR, BUILDKIT_COLORS ("run=green:error=255,0,0"), BUILDKIT_TTY_LOG_LINES.
TtyStyle style_from(const EnvironmentLookup& environment);

}  // namespace kiln::client
