// How a build is shown while it runs. Updates come in as the daemon tells them; a view turns them
// into lines, a redrawn screen or JSON.
//
//   KILN_ASSIGN_OR_RETURN(auto view, make_view("auto", STDERR_FILENO, environment));
//   view->update(update); … view->refresh() about every 150 ms … view->finish();
//
// Shapes are those of the events (event/event.h). One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "event/event.h"

namespace kiln::client {

// One message of the Status stream.
struct ProgressUpdate {
  std::vector<event::Vertex> vertices;
  std::vector<event::VertexStatus> statuses;
  std::vector<event::VertexLog> logs;
  std::vector<event::VertexWarning> warnings;
};

class ProgressView {
 public:
  virtual ~ProgressView() = default;
  virtual void update(const ProgressUpdate& update) = 0;
  // Time has passed: timers run, output that was held back may come out.
  virtual void refresh() = 0;
  // The last words: what is pending, the logs of failed steps. Once.
  virtual void finish() = 0;
  // Whether it shows anything; else it need not be told.
  virtual bool looks() const { return true; }
};

using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view name)>;

// mode: auto (tty when `fd` is a terminal, else plain), tty, plain, rawjson, quiet (or none). With
// auto the variable BUILDKIT_PROGRESS decides. NO_COLOR, BUILDKIT_COLORS, BUILDKIT_TTY_LOG_LINES,
// PROGRESS_NO_TRUNC are honoured. InvalidArgument for another mode, FailedPrecondition for tty
// without a terminal.
Result<std::unique_ptr<ProgressView>> make_view(std::string_view mode, int fd, const EnvironmentLookup& environment);

// The update as one line of JSON without its end, as `rawjson` and --trace write it.
std::string progress_json(const ProgressUpdate& update);

// "123B", "1.23kB", "4.50MB": decimal units, two digits.
std::string human_bytes(std::int64_t bytes);
// The same with as many digits as needed ("1.2kB").
std::string human_bytes_short(std::int64_t bytes);

}  // namespace kiln::client
