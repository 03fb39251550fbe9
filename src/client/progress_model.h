// What is known of a running build: steps in the order they started, their times, parts and last
// words. Shared by the views; private to the room. One thread at a time.
//
// Vertices of one progress group are one step here. A step may run several times (its spans).
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/progress.h"

namespace kiln::client {

// From when to when; no end: still running.
struct Span {
  Time start;
  std::optional<Time> stop;
};

struct Step {
  Digest id;
  std::string name;
  std::string error;
  bool cached = false;
  bool seen_started = false;   // stands in ProgressModel::started()
  bool hidden = false;         // a group in which only weak members started
  std::map<Time, Span> spans;  // by start

  std::vector<std::string> part_order;  // ids of the parts that started
  std::map<std::string, event::VertexStatus> parts;
  std::set<std::string> parts_changed;
  std::vector<event::VertexWarning> warnings;

  // Log lines not yet taken by the view; the last may still grow.
  std::vector<std::string> lines;
  bool last_line_open = false;
  // The last of the raw lines, for the screen's tail.
  std::deque<std::string> tail;
  bool tail_open = false;
  std::size_t log_bytes = 0;

  // Activity since the step was last shown, to share the screen fairly.
  int activity = 0;
  std::optional<Time> active_since;
  // The view's own: number shown, what of it was printed.
  int number = 0;
  std::size_t printed_of_open_line = 0;
  std::size_t warnings_printed = 0;
  std::deque<std::string> last_lines;

  bool is_group = false;
  std::map<Digest, event::Vertex> members;

  bool started() const { return !spans.empty(); }
  bool completed() const;
  bool canceled() const;  // its error says it was cancelled
  // The overlapping spans joined, in order.
  std::vector<Span> joined_spans() const;
  // Seconds run so far, until `now` when still running.
  double seconds(Time now) const;
};

class ProgressModel {
 public:
  void apply(const ProgressUpdate& update, Time now);

  const std::vector<Step*>& started() const { return started_; }
  // Steps that changed since they were last taken from here, in order of first change.
  std::vector<Step*>& changed() { return changed_; }
  int count_total() const;
  int count_completed() const;
  // When the first step started, by the daemon's clock, and how far this machine's is ahead.
  std::optional<Time> first_start() const { return first_start_; }
  Duration clock_ahead() const { return clock_ahead_.value_or(Duration{}); }

 private:
  Step& step_for(const Digest& id);
  void touch(Step& step, Time now);
  void apply(const event::Vertex& vertex, Time now);
  void apply_member(const event::Vertex& vertex, Time now);
  void apply(const event::VertexStatus& status, Time now);
  void apply(const event::VertexLog& log, Time now);
  void refresh_group(Step& group, Time now);
  void note_start(Step& step, Time start, Time now);

  std::map<Digest, Step*> by_digest_;  // members of a group lead to the group
  std::map<std::string, Step*> groups_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Step*> started_;
  std::vector<Step*> changed_;
  std::optional<Time> first_start_;
  std::optional<Duration> clock_ahead_;
};

// The text an error ends with when the step was cancelled.
inline constexpr std::string_view kCanceledText = "context canceled";

// "------ / > name: / last lines / ------" for every failed step.
std::string failed_logs(const ProgressModel& model, bool whole_lines);

}  // namespace kiln::client
