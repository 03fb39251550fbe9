#include "frontend/dockerfile/check/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/directives.h"
#include "frontend/dockerfile/instructions.h"

namespace kiln::frontend::dockerfile {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* name) {
  auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

int number_of(const Json& object, const char* name) {
  auto it = object.find(name);
  return it != object.end() && it->is_number_integer() ? it->get<int>() : 0;
}

event::Position position_of(const Json& range, const char* end) {
  auto it = range.find(end);
  if (it == range.end() || !it->is_object()) return {};
  return {number_of(*it, "line"), number_of(*it, "character")};
}

Ranges ranges_in(const Json& item) {
  Ranges out;
  auto location = item.find("location");
  if (location == item.end() || !location->is_object()) return out;
  auto ranges = location->find("ranges");
  if (ranges == location->end() || !ranges->is_array()) return out;
  for (const Json& range : *ranges) {
    if (range.is_object()) out.push_back({position_of(range, "start"), position_of(range, "end")});
  }
  return out;
}

// Whether a stage stands on an image, directly or through stages of the file.
bool stands_on_image(const std::vector<Stage>& stages, std::size_t index) {
  while (true) {
    const std::string& base = stages[index].base;
    auto below = find_stage(stages, base);
    if (base == "scratch") return false;
    if (!below || *below >= index) return true;
    index = *below;
  }
}

void add_unknown(std::string_view text, int line, std::vector<std::string>& out) {
  auto options = parse_lint_options(text);
  if (!options.ok()) return;
  std::vector<std::string> known;
  for (const LintRule* rule : all_lint_rules()) known.emplace_back(rule->name);
  for (const auto* names : {&options->skip, &options->experimental}) {
    for (const std::string& name : *names) {
      if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) continue;
      out.push_back(fmt::format("line {}: there is no rule {}{}", line, quote(name),
                                suggestion_suffix(name, known, MatchCase::kSensitive)));
    }
  }
}

}  // namespace

Result<CheckResult> read_check(std::string_view json) {
  Json answer = Json::parse(json, nullptr, false);
  if (!answer.is_object()) return peer_error(Code::kInvalidArgument, "the answer to the check is not JSON");
  CheckResult out;
  if (auto sources = answer.find("sources"); sources != answer.end() && sources->is_array() && !sources->empty()) {
    const Json& source = sources->front();
    if (source.is_object()) {
      out.filename = text_of(source, "filename");
      out.text = base64_decode(text_of(source, "data")).value_or("");
    }
  }
  if (auto warnings = answer.find("warnings"); warnings != answer.end() && warnings->is_array()) {
    for (const Json& item : *warnings) {
      if (!item.is_object()) continue;
      out.findings.push_back({text_of(item, "ruleName"), text_of(item, "description"), text_of(item, "url"),
                              text_of(item, "detail"), ranges_in(item)});
    }
  }
  if (auto fault = answer.find("buildError"); fault != answer.end() && fault->is_object()) {
    out.fault = CheckFault{text_of(*fault, "message"), ranges_in(*fault)};
  }
  std::stable_sort(out.findings.begin(), out.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.line() < b.line(); });
  return out;
}

std::vector<Finding> without_guesses(std::string_view text, const std::vector<Finding>& findings) {
  Linter silent;
  auto file = parse_dockerfile(text, silent);
  if (!file.ok()) return findings;
  std::vector<Finding> out;
  for (const Finding& finding : findings) {
    std::optional<std::size_t> stage;
    for (std::size_t i = 0; i < file->stages.size(); ++i) {
      if (file->stages[i].ranges.front().start.line <= finding.line()) stage = i;
    }
    const bool guess = finding.rule == lint_rules::kUndefinedVar.name && stage && stands_on_image(file->stages, *stage);
    if (!guess) out.push_back(finding);
  }
  return out;
}

std::vector<std::string> unknown_rules(std::string_view text) {
  std::vector<std::string> out;
  int number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trim(line);
    if (!line.starts_with('#')) continue;
    DirectiveReader reader("#");
    auto directive = reader.read(line);
    if (directive.ok() && *directive && (*directive)->name == "check") add_unknown((*directive)->value, number, out);
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
