// The view for terminals: the whole picture, redrawn in place. A frame is composed as one text and
// written at once, every line erases only what is behind it, so that nothing flickers.
#include <fmt/format.h>

#include "base/text.h"
#include "client/internal/screen_text.h"
#include "client/internal/views.h"
#include "client/progress_model.h"

namespace kiln::client {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPause = 100ms;

struct Row {
  std::string text;    // behind " => "
  std::string status;  // bytes
  double seconds = 0;
  bool done = false;
  std::string_view color;
  Step* step = nullptr;  // of a step's own row
  int log_lines = 0;
};

class TtyView final : public ProgressView {
 public:
  TtyView(std::unique_ptr<Output> out, TtyStyle style) : out_(std::move(out)), style_(std::move(style)) {}

  void update(const ProgressUpdate& update) override {
    Time now = system_clock().now();
    model_.apply(update, now);
    model_.changed().clear();
    if (now - drawn_ >= kPause) draw(false);
  }
  void refresh() override { draw(false); }
  void finish() override {
    draw(true);
    out_->write(failed_logs(model_, true));
  }

 private:
  void draw(bool last) {
    auto [width, height] = out_->size();
    Time now = drawn_ = system_clock().now();
    std::vector<Row> rows = all_rows(now - model_.clock_ahead());
    if (!last) fit(rows, height);

    std::string frame = "\x1b[?25l";
    if (lines_ > 0) frame += fmt::format("\x1b[{}A\r", lines_);
    int count = 0;
    auto add = [&](std::string_view line) {
      frame.append(line).append("\x1b[K\n");
      ++count;
    };
    add(head(now, last, width));
    for (const Row& row : rows) add_row(row, width, add);
    frame += "\x1b[J\x1b[?25h";
    lines_ = count;
    out_->write(frame);
  }

  std::string head(Time now, bool last, int width) const {
    int total = model_.count_total(), completed = model_.count_completed();
    double seconds = 0;
    if (model_.first_start())
      seconds = std::chrono::duration<double>(now - model_.clock_ahead() - *model_.first_start()).count();
    bool finished = last && completed > 0 && completed == total;
    return std::string(cut(fmt::format("[+] Building {:.1f}s ({}/{}){}", std::max(seconds, 0.0), completed, total,
                                       finished ? " FINISHED" : ""),
                           width));
  }

  std::vector<Row> all_rows(Time now) {
    std::vector<Row> rows;
    for (Step* step : model_.started()) {
      if (step->hidden) continue;
      rows.push_back(step_row(*step, now));
      // A step that is done is one line: its parts have nothing more to tell.
      if (!step->completed() || !step->error.empty()) add_parts(*step, now, rows);
      for (const event::VertexWarning& warning : step->warnings) {
        rows.push_back({"WARN: " + printable(warning.short_text), "", step->seconds(now), true, style_.warning});
      }
    }
    return rows;
  }

  Row step_row(Step& step, Time now) const {
    std::string_view mark = step.canceled()       ? "CANCELED "
                            : !step.error.empty() ? "ERROR "
                            : step.cached         ? "CACHED "
                                                  : "";
    const std::string& color = step.canceled() ? style_.cancel : !step.error.empty() ? style_.error : style_.run;
    return {fmt::format("{}{}", mark, printable(step.name)), "", step.seconds(now), step.completed(), color, &step};
  }

  void add_parts(const Step& step, Time now, std::vector<Row>& rows) const {
    for (const std::string& id : step.part_order) {
      const event::VertexStatus& part = step.parts.at(id);
      double seconds = std::chrono::duration<double>(part.completed.value_or(now) - *part.started).count();
      std::string status;
      if (part.total != 0) {
        status = fmt::format("{} / {}", human_bytes(part.current), human_bytes(part.total));
      } else if (part.current != 0) {
        status = human_bytes(part.current);
      }
      if (!part.completed && part.current > 0 && seconds > 0.5) {
        status +=
            fmt::format(" {}/s", human_bytes(static_cast<std::int64_t>(static_cast<double>(part.current) / seconds)));
      }
      rows.push_back({"=> " + printable(id), status, seconds, part.completed.has_value(), style_.run});
    }
  }

  // Leaves as many rows as the screen has: running ones stay, the oldest finished ones go. Free
  // lines go to the logs of the busiest running steps.
  void fit(std::vector<Row>& rows, int height) const {
    int limit = std::max(height - 2, 1);
    int excess = static_cast<int>(rows.size()) - limit;
    for (bool take_running : {false, true}) {
      std::erase_if(rows, [&](const Row& row) {
        bool gone = excess > 0 && (row.done || take_running);
        excess -= gone;
        return gone;
      });
    }
    std::vector<Row*> talkers;
    for (Row& row : rows) {
      if (row.step && !row.done && !row.step->tail.empty()) talkers.push_back(&row);
    }
    std::stable_sort(talkers.begin(), talkers.end(),
                     [](Row* a, Row* b) { return a->step->log_bytes > b->step->log_bytes; });
    int free = limit - static_cast<int>(rows.size());
    for (Row* row : talkers) {
      if (free <= style_.log_lines) break;
      row->log_lines = std::min<int>(style_.log_lines, static_cast<int>(row->step->tail.size()));
      free -= row->log_lines;
    }
  }

  void add_row(const Row& row, int width, const auto& add) const {
    std::string timer = fmt::format(" {:.1f}s", row.seconds < 0.05 ? 0 : row.seconds);
    int left = width - 4 - static_cast<int>(timer.size()) - 1;
    if (left < 12) return add(cut(" => " + row.text, width));
    std::string text = row.text;
    bool shows_status = !row.status.empty() && left > 20 + static_cast<int>(row.status.size());
    text = cut(text, shows_status ? left - static_cast<int>(row.status.size()) - 1 : left);
    if (shows_status) text += " " + row.status;
    int padding = std::max(left - columns_of(text) + 1, 0);
    bool colored = row.done && !row.color.empty();
    add(fmt::format("{} => {}{:{}}{}{}", colored ? row.color : "", text, "", padding, timer, colored ? "\x1b[0m" : ""));
    for (std::size_t i = row.log_lines ? row.step->tail.size() - static_cast<std::size_t>(row.log_lines) : 0;
         row.log_lines && i < row.step->tail.size(); ++i) {
      std::string line = printable(row.step->tail[i]);
      add(fmt::format("\x1b[2m => => # {}\x1b[0m", cut(line, width - 10)));
    }
  }

  std::unique_ptr<Output> out_;
  TtyStyle style_;
  ProgressModel model_;
  Time drawn_{};
  int lines_ = 0;
};

const std::map<std::string, int, std::less<>>& color_codes() {
  static const std::map<std::string, int, std::less<>> codes = {
      {"default", 39},    {"black", 30},       {"red", 31},          {"green", 32},      {"yellow", 33},
      {"blue", 34},       {"magenta", 35},     {"cyan", 36},         {"white", 37},      {"light-black", 90},
      {"light-red", 91},  {"light-green", 92}, {"light-yellow", 93}, {"light-blue", 94}, {"light-magenta", 95},
      {"light-cyan", 96}, {"light-white", 97}};
  return codes;
}

// A colour name or "r,g,b"; nothing when it is neither.
std::optional<std::string> color_sequence(std::string_view text) {
  auto known = color_codes().find(to_lower(text));
  if (known != color_codes().end()) return fmt::format("\x1b[{}m", known->second);
  int value[3] = {-1, -1, -1};
  std::vector<std::string_view> parts = split(text, ',');
  if (parts.size() != 3) return std::nullopt;
  for (int i = 0; i < 3; ++i) {
    for (char c : parts[static_cast<std::size_t>(i)]) {
      if (c < '0' || c > '9' || value[i] > 255) return std::nullopt;
      value[i] = std::max(value[i], 0) * 10 + (c - '0');
    }
    if (value[i] < 0 || value[i] > 255) return std::nullopt;
  }
  return fmt::format("\x1b[38;2;{};{};{}m", value[0], value[1], value[2]);
}

}  // namespace

TtyStyle style_from(const EnvironmentLookup& environment) {
  TtyStyle style;
  if (auto lines = environment("BUILDKIT_TTY_LOG_LINES")) {
    int count = std::atoi(lines->c_str());
    if (count > 0) style.log_lines = count;
  }
  if (!environment("NO_COLOR").value_or("").empty()) return style;
  style.run = "\x1b[34m";
  style.cancel = style.warning = "\x1b[33m";
  style.error = "\x1b[31m";
  std::string colors = environment("BUILDKIT_COLORS").value_or("");
  for (std::string_view entry : split(colors, ':')) {
    auto [name, value] = split_once(entry, '=');
    std::optional<std::string> sequence = color_sequence(value);
    if (!sequence) continue;
    std::string key = to_lower(name);
    if (key == "run") style.run = *sequence;
    if (key == "cancel") style.cancel = *sequence;
    if (key == "warning") style.warning = *sequence;
    if (key == "error") style.error = *sequence;
  }
  return style;
}

std::unique_ptr<ProgressView> make_tty_view(std::unique_ptr<Output> out, TtyStyle style) {
  return std::make_unique<TtyView>(std::move(out), std::move(style));
}

}  // namespace kiln::client
