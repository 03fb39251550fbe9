#include "client/dockerfile/check_report.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/text.h"
#include "client/rpc.h"
#include "frontend/dockerfile/lint.h"

namespace kiln::client {
namespace {

namespace df = frontend::dockerfile;
using Json = nlohmann::ordered_json;

constexpr std::string_view kHome = "https://github.com/kiln-build/kiln";
constexpr const char* kFaultRule = "BuildError";

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::vector<LineRange> line_ranges(const df::Ranges& ranges) {
  std::vector<LineRange> out;
  for (const auto& r : ranges) out.push_back({r.start.line, r.end.line, r.start.character, r.end.character});
  return out;
}

int last_line(const df::Ranges& ranges) {
  int last = 0;
  for (const auto& r : ranges) last = std::max({last, r.start.line, r.end.line});
  return last;
}

// The one range that is narrowed to words, if any.
const event::Range* narrow(const df::Ranges& ranges) {
  for (const auto& r : ranges) {
    if (r.start.line == r.end.line && r.end.character > r.start.character) return &r;
  }
  return nullptr;
}

// ---- text ---------------------------------------------------------------------------------

std::string text_report(const std::string& path, const df::CheckResult& result) {
  const std::size_t count = result.findings.size();
  std::string out =
      count == 0
          ? (result.fault ? "Check complete, the file cannot be built.\n" : "Check complete, no warnings found.\n")
          : fmt::format("Check complete, {} found!\n",
                        count == 1 ? "1 warning has been" : fmt::format("{} warnings have been", count));
  for (const df::Finding& finding : result.findings) {
    out += fmt::format("\nWARNING: {}", finding.rule);
    if (!finding.url.empty()) out += " - " + finding.url;
    out += fmt::format("\n{}\n{}", finding.message, source_excerpt(path, result.text, line_ranges(finding.ranges)));
  }
  if (result.fault) {
    out += fmt::format("\nERROR: {}\n{}", result.fault->message,
                       source_excerpt(path, result.text, line_ranges(result.fault->ranges)));
  }
  return out;
}

// ---- json ---------------------------------------------------------------------------------

Json position_json(const event::Position& position) {
  Json out = Json::object();
  if (position.line != 0) out["line"] = position.line;
  if (position.character != 0) out["character"] = position.character;
  return out;
}

Json location_json(const df::Ranges& ranges) {
  Json out = Json::object();
  for (const auto& r : ranges)
    out["ranges"].push_back({{"start", position_json(r.start)}, {"end", position_json(r.end)}});
  return out;
}

std::string json_report(const df::CheckResult& result) {
  Json out = Json::object();
  out["warnings"] = Json::array();
  for (const df::Finding& finding : result.findings) {
    out["warnings"].push_back({{"ruleName", finding.rule},
                               {"description", finding.description},
                               {"url", finding.url},
                               {"detail", finding.message},
                               {"location", location_json(finding.ranges)}});
  }
  out["sources"] =
      Json::array({{{"filename", result.filename}, {"data", base64_encode(result.text)}, {"language", "Dockerfile"}}});
  if (result.fault)
    out["buildError"] = {{"message", result.fault->message}, {"location", location_json(result.fault->ranges)}};
  return dump(out);
}

// ---- sarif --------------------------------------------------------------------------------

Json sarif_rules() {
  Json rules = Json::array();
  for (const df::LintRule* rule : df::all_lint_rules()) {
    rules.push_back({{"id", rule->name},
                     {"shortDescription", {{"text", rule->description}}},
                     {"helpUri", rule->url},
                     {"defaultConfiguration", {{"level", "warning"}}}});
  }
  rules.push_back({{"id", kFaultRule},
                   {"shortDescription", {{"text", "The Dockerfile cannot be built"}}},
                   {"defaultConfiguration", {{"level", "error"}}}});
  return rules;
}

int rule_index(std::string_view name) {
  const auto& all = df::all_lint_rules();
  auto at = std::find_if(all.begin(), all.end(), [&](const df::LintRule* rule) { return rule->name == name; });
  return static_cast<int>(at - all.begin());  // the fault's own stands last
}

Json sarif_result(std::string_view rule, const char* level, const std::string& message, const std::string& path,
                  const df::Ranges& ranges) {
  Json physical = {{"artifactLocation", {{"uri", path}}}};
  if (!ranges.empty()) {
    Json region = {{"startLine", ranges.front().start.line}, {"endLine", last_line(ranges)}};
    if (const event::Range* words = narrow(ranges)) {
      region = {{"startLine", words->start.line},
                {"startColumn", words->start.character + 1},
                {"endLine", words->end.line},
                {"endColumn", words->end.character + 1}};
    }
    physical["region"] = region;
  }
  return {{"ruleId", rule},
          {"ruleIndex", rule_index(rule)},
          {"level", level},
          {"message", {{"text", message}}},
          {"locations", Json::array({{{"physicalLocation", physical}}})}};
}

std::string sarif_report(const std::string& path, const df::CheckResult& result) {
  Json results = Json::array();
  for (const df::Finding& f : result.findings)
    results.push_back(sarif_result(f.rule, "warning", f.message, path, f.ranges));
  if (result.fault)
    results.push_back(sarif_result(kFaultRule, "error", result.fault->message, path, result.fault->ranges));
  Json driver = {{"name", "kiln check"}, {"informationUri", kHome}, {"rules", sarif_rules()}};
  Json out = {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
              {"version", "2.1.0"},
              {"runs", Json::array({{{"tool", {{"driver", driver}}}, {"results", results}}})}};
  return dump(out);
}

// ---- github -------------------------------------------------------------------------------

std::string github_data(std::string text) {
  text = replace_all(std::move(text), "%", "%25");
  text = replace_all(std::move(text), "\r", "%0D");
  return replace_all(std::move(text), "\n", "%0A");
}

std::string github_property(std::string text) {
  text = replace_all(github_data(std::move(text)), ":", "%3A");
  return replace_all(std::move(text), ",", "%2C");
}

std::string github_line(const char* level, const std::string& title, const std::string& message,
                        const std::string& path, const df::Ranges& ranges) {
  std::string out = fmt::format("::{} file={}", level, github_property(path));
  if (const event::Range* words = narrow(ranges)) {
    out += fmt::format(",line={},endLine={},col={},endColumn={}", words->start.line, words->end.line,
                       words->start.character + 1, words->end.character);
  } else if (!ranges.empty()) {
    out += fmt::format(",line={},endLine={}", ranges.front().start.line, last_line(ranges));
  }
  return out + fmt::format(",title={}::{}\n", github_property(title), github_data(message));
}

std::string github_report(const std::string& path, const df::CheckResult& result) {
  std::string out;
  for (const df::Finding& f : result.findings) {
    out += github_line("warning", f.rule, f.url.empty() ? f.message : f.message + "\n" + f.url, path, f.ranges);
  }
  if (result.fault) out += github_line("error", "Dockerfile", result.fault->message, path, result.fault->ranges);
  return out;
}

}  // namespace

std::optional<CheckFormat> find_check_format(std::string_view word) {
  constexpr std::array<std::string_view, 4> kNames = {"text", "json", "sarif", "github"};
  auto at = std::find(kNames.begin(), kNames.end(), word);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<CheckFormat>(at - kNames.begin());
}

std::string check_report(CheckFormat format, const std::string& path, const df::CheckResult& result) {
  switch (format) {
    case CheckFormat::kText: return text_report(path, result);
    case CheckFormat::kJson: return json_report(result);
    case CheckFormat::kSarif: return sarif_report(path, result);
    case CheckFormat::kGithub: return github_report(path, result);
  }
  return "";
}

}  // namespace kiln::client
