#include "client/progress_model.h"

#include <fmt/format.h>

#include "base/text.h"

namespace kiln::client {
namespace {

constexpr std::size_t kTailMax = 64;

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// "1.234 text": seconds since the step's start, more digits while they are few.
std::string stamped(const Step& step, Time at, std::string_view text) {
  double seconds = 0;
  if (step.started()) seconds = seconds_of(at - step.joined_spans().back().start);
  int digits = seconds < 10 ? 3 : seconds < 100 ? 2 : 1;
  return fmt::format("{:.{}f} {}", seconds, digits, text);
}

// A step that lost one of its inputs starts again without having ended.
void begun_anew(Span& before, Time start) {
  if (!before.stop) before.stop = start;
}

void add_to_tail(Step& step, std::string_view text, bool ends_line) {
  if (!step.tail_open) step.tail.emplace_back();
  std::string& line = step.tail.back();
  for (char c : text) {
    if (c == '\r') {
      line.clear();
    } else {
      line.push_back(c);
    }
  }
  step.tail_open = !ends_line;
  if (step.tail.size() > kTailMax) step.tail.pop_front();
}

}  // namespace

std::vector<Span> Step::joined_spans() const {
  std::vector<Span> out;
  for (const auto& [start, span] : spans) {
    if (out.empty() || (out.back().stop && *out.back().stop < span.start)) {
      out.push_back(span);
    } else if (out.back().stop && (!span.stop || *span.stop > *out.back().stop)) {
      out.back().stop = span.stop;
    }
  }
  return out;
}

bool Step::completed() const {
  std::vector<Span> joined = joined_spans();
  return !joined.empty() && joined.back().stop;
}

bool Step::canceled() const { return std::string_view(error).ends_with(kCanceledText); }

double Step::seconds(Time now) const {
  double sum = 0;
  for (const Span& span : joined_spans()) sum += seconds_of(span.stop.value_or(now) - span.start);
  return sum;
}

Step& ProgressModel::step_for(const Digest& id) {
  Step*& step = by_digest_[id];
  if (!step) {
    steps_.push_back(std::make_unique<Step>());
    step = steps_.back().get();
    step->id = id;
  }
  return *step;
}

void ProgressModel::touch(Step& step, Time now) {
  if (step.activity++ == 0) step.active_since = now;
  if (std::find(changed_.begin(), changed_.end(), &step) == changed_.end()) changed_.push_back(&step);
}

void ProgressModel::note_start(Step& step, Time start, Time now) {
  if (!first_start_) first_start_ = start;
  if (!clock_ahead_) clock_ahead_ = now - start;
  if (!step.seen_started && !step.hidden) {
    step.seen_started = true;
    started_.push_back(&step);
  }
}

void ProgressModel::apply(const event::Vertex& vertex, Time now) {
  if (vertex.group) return apply_member(vertex, now);
  Step& step = step_for(vertex.digest);
  // A step that ran may be told again by a build that only looks it up: that does not reset it.
  if (step.started() && !vertex.started) return;
  bool news = step.name != vertex.name || step.error != vertex.error || step.cached != vertex.cached;
  step.name = vertex.name;
  step.error = vertex.error;
  step.cached = vertex.cached;
  if (!vertex.started) return;
  auto [span, added] = step.spans.try_emplace(*vertex.started, Span{*vertex.started, std::nullopt});
  if (added && span != step.spans.begin()) begun_anew(std::prev(span)->second, *vertex.started);
  news |= added || (vertex.completed && span->second.stop != vertex.completed);
  if (vertex.completed) span->second.stop = vertex.completed;
  note_start(step, *vertex.started, now);
  if (news) touch(step, now);
}

void ProgressModel::apply_member(const event::Vertex& vertex, Time now) {
  Step*& group = groups_[vertex.group->id];
  if (!group) {
    group = &step_for(Digest::trusted(vertex.group->id));
    group->is_group = true;
    group->hidden = true;
    group->name = vertex.group->name;
  }
  by_digest_[vertex.digest] = group;
  event::Vertex& member = group->members[vertex.digest];
  if (member.started && vertex.started && *member.started < *vertex.started) {
    if (auto span = group->spans.find(*member.started); span != group->spans.end())
      begun_anew(span->second, *vertex.started);
  }
  member = vertex;
  refresh_group(*group, now);
}

void ProgressModel::refresh_group(Step& group, Time now) {
  bool cached = true, news = false;
  std::string error;
  std::optional<Time> start;
  for (const auto& [digest, member] : group.members) {
    cached &= member.cached;
    if (error.empty()) error = member.error;
    if (!member.started) continue;
    if (!start || *member.started < *start) start = member.started;
    if (group.hidden && !member.group->weak) {
      group.hidden = false;
      news = true;
    }
    auto [span, added] = group.spans.try_emplace(*member.started, Span{*member.started, std::nullopt});
    news |= added || span->second.stop != member.completed;
    span->second.stop = member.completed;
  }
  if (!error.empty() && group.hidden) group.hidden = false, news = true;
  news |= group.cached != cached || group.error != error;
  group.cached = cached;
  group.error = error;
  if (group.hidden || !start) return;
  note_start(group, *start, now);
  if (news) touch(group, now);
}

void ProgressModel::apply(const event::VertexStatus& status, Time now) {
  auto at = by_digest_.find(status.vertex);
  if (at == by_digest_.end()) return;
  Step& step = *at->second;
  auto known = step.parts.find(status.id);
  if (status.started && (known == step.parts.end() || !known->second.started)) step.part_order.push_back(status.id);
  step.parts[status.id] = status;
  step.parts_changed.insert(status.id);
  touch(step, now);
}

void ProgressModel::apply(const event::VertexLog& log, Time now) {
  auto at = by_digest_.find(log.vertex);
  if (at == by_digest_.end()) return;
  Step& step = *at->second;
  step.log_bytes += log.data.size();
  std::string_view rest = log.data;
  while (!rest.empty()) {
    std::size_t end = rest.find('\n');
    bool ends_line = end != std::string_view::npos;
    std::string_view text = rest.substr(0, end);
    if (step.last_line_open && !step.lines.empty()) {
      step.lines.back().append(text);
    } else {
      step.lines.push_back(stamped(step, log.timestamp, text));
    }
    step.last_line_open = !ends_line;
    add_to_tail(step, text, ends_line);
    rest.remove_prefix(ends_line ? end + 1 : rest.size());
  }
  touch(step, now);
}

void ProgressModel::apply(const ProgressUpdate& update, Time now) {
  for (const event::Vertex& vertex : update.vertices) apply(vertex, now);
  for (const event::VertexStatus& status : update.statuses) apply(status, now);
  for (const event::VertexWarning& warning : update.warnings) {
    auto at = by_digest_.find(warning.vertex);
    if (at == by_digest_.end()) continue;
    at->second->warnings.push_back(warning);
    touch(*at->second, now);
  }
  for (const event::VertexLog& log : update.logs) apply(log, now);
}

int ProgressModel::count_total() const {
  return static_cast<int>(std::count_if(steps_.begin(), steps_.end(), [](const auto& step) { return !step->hidden; }));
}

int ProgressModel::count_completed() const {
  return static_cast<int>(
      std::count_if(steps_.begin(), steps_.end(), [](const auto& step) { return !step->hidden && step->completed(); }));
}

std::string failed_logs(const ProgressModel& model, bool whole_lines) {
  std::string out;
  for (const Step* step : model.started()) {
    if (step->error.empty() || step->canceled()) continue;
    out += fmt::format("------\n > {}:\n", step->name);
    if (whole_lines) {
      for (const std::string& line : step->lines) out += line + "\n";
    } else {
      for (const std::string& line : step->last_lines) out += line + "\n";
    }
    out += "------\n";
  }
  return out;
}

}  // namespace kiln::client
