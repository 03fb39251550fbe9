#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "client/dockerfile/explain.h"

namespace kiln::client {
namespace {

namespace df = frontend::dockerfile;

std::string count(std::size_t n, std::string_view what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

// Numbers as a person counts: the first step is 1.
std::string numbers(const std::vector<std::size_t>& steps) {
  std::vector<std::string> out;
  for (std::size_t step : steps) out.push_back(std::to_string(step + 1));
  return join(out, ", ");
}

class TextWriter {
 public:
  explicit TextWriter(const Explanation& e) : e_(e), plan_(e.plan) {}

  std::string write() {
    head();
    shared_steps();
    for (std::size_t i = 0; i < plan_.stages.size(); ++i) stage(plan_.stages[i]);
    order();
    context();
    for (const Question& question : e_.questions) answer(question);
    if (!e_.images_not_looked_up.empty()) {
      out_ += fmt::format(
          "\nBase images were not looked up ({}): steps that their ONBUILD triggers add are not shown; --with-images "
          "asks for them.\n",
          join(e_.images_not_looked_up, ", "));
    }
    return std::move(out_);
  }

 private:
  void head() {
    const auto needed = static_cast<std::size_t>(
        std::count_if(plan_.stages.begin(), plan_.stages.end(), [](const df::PlanStage& s) { return s.needed; }));
    out_ += fmt::format("{}: {} of {} needed, {}\n", plan_.filename, needed, count(plan_.stages.size(), "stage"),
                        count(plan_.steps.size(), "step"));
  }

  void shared_steps() {
    bool any = false;
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      if (plan_.steps[i].stage) continue;
      if (!any) out_ += "\nfrom outside the file\n";
      any = true;
      step(i);
    }
  }

  void stage(const df::PlanStage& stage) {
    out_ += fmt::format("\nstage {}(line {}) from {}{}{}\n", stage.name.empty() ? "" : stage.name + " ", stage.line,
                        stage.base, stage.target ? ", the target" : "",
                        stage.needed ? "" : ": not needed, none of it runs");
    for (std::size_t i : stage.steps) step(i);
  }

  void step(std::size_t index) {
    const df::PlanStep& step = plan_.steps[index];
    out_ += fmt::format("  {:3}  {}\n", index + 1, step.name);
    out_ += fmt::format("       {}", step.inputs.empty() ? "starts at once" : "after " + numbers(step.inputs));
    if (!step.by_content.empty()) out_ += fmt::format("; of {} only the files taken count", numbers(step.by_content));
    out_ += "\n";
    for (const std::string& key : step.keys) out_ += fmt::format("       key: {}\n", clipped(key));
  }

  static std::string clipped(const std::string& text) {
    constexpr std::size_t kMax = 160;
    std::string line = text.substr(0, text.find('\n'));
    if (line.size() > kMax) line.resize(kMax);
    return line.size() == text.size() ? line : line + "…";
  }

  void order() {
    out_ += fmt::format("\nat most {} run side by side\n", count(plan_.widest(), "step"));
    std::size_t waves = 0;
    for (const df::PlanStep& step : plan_.steps) waves = std::max(waves, step.wave + 1);
    for (std::size_t wave = 0; wave < waves; ++wave) {
      std::vector<std::size_t> steps;
      for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
        if (plan_.steps[i].wave == wave) steps.push_back(i);
      }
      out_ += fmt::format("  {:3}. {}\n", wave + 1, numbers(steps));
    }
    const auto chain = plan_.longest_chain();
    out_ += fmt::format("longest chain: {} ({})\n", count(chain.size(), "step"), numbers(chain));
  }

  void context() {
    if (!plan_.uses_context) {
      out_ += "\ncontext: nothing is uploaded\n";
      return;
    }
    const ContextContents& c = e_.context;
    out_ += fmt::format("\ncontext: {}, {} of {}, {} in the directory\n", count(c.files, "file"), size_text(c.bytes),
                        count(c.files_there, "file"), size_text(c.bytes_there));
    if (!plan_.follow_paths.empty()) out_ += fmt::format("  wanted: {}\n", join(plan_.follow_paths, ", "));
    if (!plan_.ignore_patterns.empty())
      out_ += fmt::format("  kept away by the ignore file: {}\n", join(plan_.ignore_patterns, ", "));
    for (const auto& [path, bytes] : c.largest) out_ += fmt::format("  {:>9}  {}\n", size_text(bytes), path);
  }

  void answer(const Question& question) {
    out_ += fmt::format("\nif {}:\n", question.text);
    const df::Affected& affected = question.affected;
    if (affected.direct.empty() && affected.behind.empty()) {
      out_ += fmt::format("  no step runs again{}\n", question.note.empty() ? "" : ": " + question.note);
      return;
    }
    if (!question.note.empty()) out_ += "  " + question.note + "\n";
    for (std::size_t i : affected.direct)
      out_ += fmt::format("  {:3}  {} (concerned itself)\n", i + 1, plan_.steps[i].name);
    for (std::size_t i : affected.behind) {
      const bool spared =
          std::find(affected.unless_same.begin(), affected.unless_same.end(), i) != affected.unless_same.end();
      out_ += fmt::format("  {:3}  {}{}\n", i + 1, plan_.steps[i].name,
                          spared ? " (unless what is copied comes out the same)" : "");
    }
    out_ += fmt::format("  {} of {} again\n", affected.direct.size() + affected.behind.size(),
                        count(plan_.steps.size(), "step"));
  }

  const Explanation& e_;
  const df::BuildPlan& plan_;
  std::string out_;
};

}  // namespace

std::string explain_text(const Explanation& explanation) { return TextWriter(explanation).write(); }

Concern concern_of(const Explanation& explanation, std::size_t step) {
  Concern out = Concern::kNone;
  auto has = [&](const std::vector<std::size_t>& list) {
    return std::find(list.begin(), list.end(), step) != list.end();
  };
  for (const Question& question : explanation.questions) {
    if (has(question.affected.direct)) return Concern::kDirect;
    if (has(question.affected.behind) && out != Concern::kBehind)
      out = has(question.affected.unless_same) ? Concern::kUnlessSame : Concern::kBehind;
  }
  return out;
}

std::string step_title(const df::PlanStep& step) {
  const std::size_t end = step.name.starts_with('[') ? step.name.find("] ") : std::string::npos;
  return end == std::string::npos ? step.name : step.name.substr(end + 2);
}

std::string size_text(std::int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace kiln::client
