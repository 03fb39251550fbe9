// The view for pipes and files: one step at a time has the word, others wait or are closed when
// they are done.
#include <fmt/format.h>
#include <unistd.h>

#include "client/internal/views.h"
#include "client/progress_model.h"

namespace kiln::client {
namespace {

using namespace std::chrono_literals;

// A step keeps the word at least about this long, and nobody waits much longer than the second.
constexpr Duration kTurn = 5s;
constexpr Duration kWaitMax = 10s;
// A part is told again after so much progress or time.
constexpr double kPartStep = 0.05;
constexpr Duration kPartPause = 5s;
constexpr std::size_t kLastLines = 10;
constexpr Duration kPause = 100ms;

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

class PlainView final : public ProgressView {
 public:
  PlainView(std::unique_ptr<Output> out, bool truncate_names) : out_(std::move(out)), truncate_(truncate_names) {}

  void update(const ProgressUpdate& update) override {
    Time now = system_clock().now();
    model_.apply(update, now);
    if (now - shown_ >= kPause) show();
  }
  void refresh() override { show(); }
  void finish() override {
    show();
    text_ += failed_logs(model_, false);
    flush();
  }

 private:
  // Who may speak now: what ended first (in order of end), then one that runs.
  void show() {
    Time now = shown_ = system_clock().now();
    std::vector<Step*> ended, running;
    for (Step* step : std::exchange(model_.changed(), {})) {
      if (step->hidden) continue;
      (step->completed() ? ended : running).push_back(step);
    }
    std::stable_sort(ended.begin(), ended.end(), [](Step* a, Step* b) { return last_stop(a) < last_stop(b); });
    Step* before = current_;
    if (contains(ended, before)) print(*before);
    for (Step* step : ended) {
      if (step != before) print(*step);
    }
    if (running.empty()) {
      if (!before || before->completed()) open_any();
    } else {
      share(running, before, now);
    }
    flush();
  }

  static Time last_stop(const Step* step) { return step->joined_spans().back().stop.value_or(Time{}); }
  static bool contains(const std::vector<Step*>& steps, const Step* step) {
    return step && std::find(steps.begin(), steps.end(), step) != steps.end();
  }

  void open_any() {
    for (Step* step : model_.started()) {
      if (!step->completed() && !step->hidden) return print(*step);
    }
  }

  void share(std::vector<Step*>& running, Step* before, Time now) {
    if (contains(running, before)) print(*before);
    std::vector<Step*> waiting;
    auto speed = [&](Step* step) {
      return step->activity / std::max(seconds_of(now - step->active_since.value_or(now)), 1e-3);
    };
    Step* fastest = nullptr;
    double sum = 0;
    if (before && !before->completed() && !contains(running, before)) running.push_back(before);
    for (Step* step : running) {
      sum += speed(step);
      bool waited = step != before && now - step->active_since.value_or(now) > kWaitMax;
      if (waited) waiting.push_back(step);
      if (!fastest || waited || speed(fastest) < speed(step)) fastest = step;
    }
    for (Step* step : running) {
      if (step != before) keep_changed(*step);
    }
    if (!before || before->completed()) return print(*fastest);
    if (!waiting.empty()) return print(*waiting.front());
    double share = sum > 0 ? speed(before) / sum : 0;
    double held = seconds_of(now - before->active_since.value_or(now));
    if (share < 1 && seconds_of(kTurn) / (1 - share) < held) print(*fastest);
  }

  // What a step has to say is kept until it gets the word.
  void keep_changed(Step& step) {
    if (!contains(model_.changed(), &step)) model_.changed().push_back(&step);
  }

  void print(Step& step) {
    std::erase(model_.changed(), &step);
    if (step.number == 0) step.number = ++numbers_;
    if (&step != current_) take_word(step);
    bool part_open = print_parts(step);
    for (; step.warnings_printed < step.warnings.size(); ++step.warnings_printed) {
      line(step, fmt::format("WARN: {}", step.warnings[step.warnings_printed].short_text));
    }
    print_lines(step);
    current_ = &step;
    if (step.completed() && !part_open) print_end(step);
  }

  void take_word(Step& step) {
    if (current_) {
      if (current_->last_line_open && current_->printed_of_open_line > 0) text_ += '\n';
      current_->printed_of_open_line = 0;
      current_->activity = 0;
      line(*current_, "...");
    }
    if (spoken_) text_ += '\n';
    spoken_ = true;
    bool cut = truncate_ && step.name.size() > 72;
    line(step, cut ? step.name.substr(0, 72) + "..." : step.name);
  }

  // Whether a part is still running.
  bool print_parts(Step& step) {
    bool open = false;
    for (const std::string& id : step.part_order) {
      if (!step.parts_changed.contains(id)) continue;
      const event::VertexStatus& part = step.parts[id];
      std::string key = step.id.str() + "\n" + id;
      auto told = told_.find(key);
      if (told != told_.end() && !part.completed) {
        double progress =
            part.total > 0 ? static_cast<double>(part.current - told->second.current) / static_cast<double>(part.total)
                           : 0;
        if (progress < kPartStep && part.timestamp - told->second.at < kPartPause) continue;
      }
      told_[key] = {part.current, part.timestamp};
      std::string text = id;
      if (part.total != 0) {
        text += fmt::format(" {} / {}", human_bytes(part.current), human_bytes(part.total));
      } else if (part.current != 0) {
        text += " " + human_bytes(part.current);
      }
      if (part.started) {
        double seconds = seconds_of(part.completed.value_or(part.timestamp) - *part.started);
        if (seconds > 0.01) text += fmt::format(" {:.1f}s", seconds);
      }
      if (part.completed) {
        text += " done";
      } else {
        open = true;
      }
      line(step, text);
    }
    step.parts_changed.clear();
    return open;
  }

  void print_lines(Step& step) {
    for (std::size_t i = 0; i < step.lines.size(); ++i) {
      bool growing = i + 1 == step.lines.size() && step.last_line_open;
      std::string_view rest = step.lines[i];
      if (i == 0 && step.printed_of_open_line > 0) {
        text_ += rest.substr(step.printed_of_open_line);
      } else {
        text_ += fmt::format("#{} {}", step.number, rest);
      }
      if (growing) break;
      text_ += '\n';
      step.last_lines.push_back(step.lines[i]);
      if (step.last_lines.size() > kLastLines) step.last_lines.pop_front();
    }
    if (step.last_line_open && !step.lines.empty()) {
      step.lines.erase(step.lines.begin(), step.lines.end() - 1);
      step.printed_of_open_line = step.lines[0].size();
    } else {
      step.lines.clear();
      step.printed_of_open_line = 0;
    }
  }

  void print_end(Step& step) {
    current_ = nullptr;
    step.activity = 0;
    if (step.last_line_open) {
      text_ += '\n';
      if (!step.lines.empty()) step.last_lines.push_back(step.lines[0]);
      step.lines.clear();
      step.last_line_open = false;
      step.printed_of_open_line = 0;
    }
    if (step.canceled()) {
      line(step, "CANCELED");
    } else if (!step.error.empty()) {
      line(step, fmt::format("ERROR: {}", step.error));
    } else if (step.cached) {
      line(step, "CACHED");
    } else {
      line(step, fmt::format("DONE {:.1f}s", step.seconds(system_clock().now())));
    }
  }

  void line(const Step& step, std::string_view text) { text_ += fmt::format("#{} {}\n", step.number, text); }

  void flush() {
    out_->write(text_);
    text_.clear();
  }

  struct Told {
    std::int64_t current = 0;
    Time at{};
  };
  std::unique_ptr<Output> out_;
  bool truncate_;
  ProgressModel model_;
  Step* current_ = nullptr;
  int numbers_ = 0;
  bool spoken_ = false;
  Time shown_{};
  std::string text_;
  std::map<std::string, Told> told_;
};

}  // namespace

std::unique_ptr<ProgressView> make_plain_view(std::unique_ptr<Output> out, bool truncate_names) {
  return std::make_unique<PlainView>(std::move(out), truncate_names);
}

}  // namespace kiln::client
