// The plan as a drawing: in dot's language, and as SVG laid out here (a column a wave, so that steps
// of one column can run at once).
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "client/dockerfile/explain.h"

namespace kiln::client {
namespace {

namespace df = frontend::dockerfile;

const char* fill_of(const Explanation& e, std::size_t step) {
  switch (concern_of(e, step)) {
    case Concern::kDirect: return "#f4a582";
    case Concern::kBehind: return "#fddbc7";
    case Concern::kUnlessSame: return "#fff3c4";
    case Concern::kNone: break;
  }
  switch (e.plan.steps[step].kind) {
    case df::StepKind::kImage:
    case df::StepKind::kRemote: return "#d9e8f5";
    case df::StepKind::kContext: return "#dff0d8";
    default: return "#ffffff";
  }
}

std::string clipped(std::string text, std::size_t size) {
  text = text.substr(0, text.find('\n'));
  if (text.size() <= size) return text;
  text.resize(size - 1);
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80)
    text.pop_back();  // no half characters
  if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
  return text + "…";
}

std::string dot_string(std::string text) {
  text = replace_all(std::move(text), "\\", "\\\\");
  return "\"" + replace_all(std::move(text), "\"", "\\\"") + "\"";
}

std::string xml_text(std::string text) {
  text = replace_all(std::move(text), "&", "&amp;");
  text = replace_all(std::move(text), "<", "&lt;");
  text = replace_all(std::move(text), ">", "&gt;");
  text = replace_all(std::move(text), "\"", "&quot;");
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; });
  return text;
}

std::string stage_title(const df::PlanStage& stage) {
  return fmt::format("{}{}", stage.name.empty() ? "from " + stage.base : stage.name, stage.target ? " (target)" : "");
}

bool by_content(const df::PlanStep& step, std::size_t input) {
  return std::find(step.by_content.begin(), step.by_content.end(), input) != step.by_content.end();
}

std::string dot_step(const Explanation& e, std::size_t i, const char* indent) {
  return fmt::format("{}s{} [label={}, fillcolor=\"{}\"];\n", indent, i,
                     dot_string(clipped(step_title(e.plan.steps[i]), 60)), fill_of(e, i));
}

// ---- svg ----------------------------------------------------------------------------------

constexpr int kBoxWidth = 260, kBoxHeight = 44, kGapX = 60, kGapY = 18, kMargin = 24;

struct Box {
  int x = 0;
  int y = 0;
};

// Columns are waves; in a column, steps stand in the order of their stages.
std::vector<Box> lay_out(const df::BuildPlan& plan) {
  std::vector<Box> boxes(plan.steps.size());
  std::map<std::size_t, std::vector<std::size_t>> columns;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) columns[plan.steps[i].wave].push_back(i);
  for (auto& [wave, steps] : columns) {
    std::stable_sort(steps.begin(), steps.end(), [&](std::size_t a, std::size_t b) {
      return plan.steps[a].stage.value_or(plan.stages.size()) < plan.steps[b].stage.value_or(plan.stages.size());
    });
    for (std::size_t row = 0; row < steps.size(); ++row) {
      boxes[steps[row]] = {kMargin + static_cast<int>(wave) * (kBoxWidth + kGapX),
                           kMargin + static_cast<int>(row) * (kBoxHeight + kGapY)};
    }
  }
  return boxes;
}

std::string svg_edge(const Box& from, const Box& to) {
  const int x1 = from.x + kBoxWidth, y1 = from.y + kBoxHeight / 2, x2 = to.x, y2 = to.y + kBoxHeight / 2;
  const int bend = std::max(20, (x2 - x1) / 2);
  return fmt::format("<path d=\"M{} {} C{} {} {} {} {} {}\" fill=\"none\" stroke=\"#888\" marker-end=\"url(#tip)\"/>\n",
                     x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2);
}

std::string svg_step(const Explanation& e, std::size_t i, const Box& box) {
  const df::PlanStep& step = e.plan.steps[i];
  const std::string stage = step.stage ? stage_title(e.plan.stages[*step.stage]) : "context";
  std::string out =
      fmt::format("<g><title>{}</title>", xml_text(fmt::format("{}\n{}", step.name, join(step.keys, "\n"))));
  out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{}\" stroke=\"#444\"/>", box.x,
                     box.y, kBoxWidth, kBoxHeight, fill_of(e, i));
  out += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#666\">{}</text>", box.x + 10, box.y + 17,
                     xml_text(clipped(fmt::format("{} · {}", i + 1, stage), 40)));
  return out + fmt::format("<text x=\"{}\" y=\"{}\">{}</text></g>\n", box.x + 10, box.y + 34,
                           xml_text(clipped(step_title(step), 38)));
}

}  // namespace

std::string explain_dot(const Explanation& e) {
  std::string out =
      "digraph build {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n";
  for (std::size_t i = 0; i < e.plan.steps.size(); ++i) {
    if (!e.plan.steps[i].stage) out += dot_step(e, i, "  ");
  }
  for (std::size_t s = 0; s < e.plan.stages.size(); ++s) {
    const df::PlanStage& stage = e.plan.stages[s];
    out += fmt::format("  subgraph cluster_{} {{\n    label={};\n", s,
                       dot_string(stage_title(stage) + (stage.needed ? "" : " (not needed)")));
    if (stage.steps.empty()) out += fmt::format("    e{} [label=\"\", style=invis];\n", s);
    for (std::size_t i : stage.steps) out += dot_step(e, i, "    ");
    out += "  }\n";
  }
  for (std::size_t i = 0; i < e.plan.steps.size(); ++i) {
    for (std::size_t input : e.plan.steps[i].inputs) {
      out += fmt::format("  s{} -> s{}{};\n", input, i, by_content(e.plan.steps[i], input) ? " [style=dashed]" : "");
    }
  }
  return out + "}\n";
}

std::string explain_svg(const Explanation& e) {
  const std::vector<Box> boxes = lay_out(e.plan);
  int width = kMargin, height = kMargin;
  for (const Box& box : boxes) {
    width = std::max(width, box.x + kBoxWidth);
    height = std::max(height, box.y + kBoxHeight);
  }
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
      "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#888\"/></marker></defs>\n",
      width + kMargin, height + kMargin);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    for (std::size_t input : e.plan.steps[i].inputs) out += svg_edge(boxes[input], boxes[i]);
  }
  for (std::size_t i = 0; i < boxes.size(); ++i) out += svg_step(e, i, boxes[i]);
  return out + "</svg>\n";
}

}  // namespace kiln::client
