#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "frontend/dockerfile/subrequests/reports.h"

namespace kiln::frontend::dockerfile {
namespace {

using content::JsonWriter;

struct Finding {
  const LintRule* rule;
  std::string message;
  Ranges ranges;
};

bool covers(const Ranges& ranges, int line) {
  return std::any_of(ranges.begin(), ranges.end(), [line](const Range& r) {
    return r.start.line <= line && std::max(r.start.line, r.end.line) >= line;
  });
}

// The lines meant, with a few around them.
std::string excerpt(const graph::SourceInfo& info, const Ranges& ranges) {
  if (ranges.empty()) return "";
  int first = ranges.front().start.line, last = 0;
  for (const auto& r : ranges) {
    first = std::min(first, r.start.line);
    last = std::max({last, r.start.line, r.end.line});
  }
  const auto text = split(info.data, '\n');
  const int count = static_cast<int>(text.size());
  if (first < 1 || first > count) return "";
  last = std::min(last, count);
  std::string out = fmt::format("{}:{}\n--------------------\n", info.filename, first);
  const int wanted = first == last ? 4 : 2;
  for (int added = 0; added < wanted; ++added) {
    if (first > 1) {
      --first;
      ++added;
    }
    if (last != count) {
      ++last;
      ++added;
    }
  }
  for (int line = first; line <= last; ++line) {
    out += fmt::format(" {:3} | {} {}\n", line, covers(ranges, line) ? ">>>" : "   ",
                       text[static_cast<std::size_t>(line - 1)]);
  }
  return out + "--------------------\n";
}

// All places of an error as few ranges of lines.
Ranges merged_places(const Status& status, std::string_view text) {
  Ranges all;
  for (const auto& place : places_in(status, text)) all.insert(all.end(), place.begin(), place.end());
  if (all.size() <= 1) return all;
  std::stable_sort(all.begin(), all.end(), [](const Range& a, const Range& b) { return a.start.line < b.start.line; });
  Ranges out = {all.front()};
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i].start.line <= out.back().end.line) {
      out.back().end.line = std::max(out.back().end.line, all[i].end.line);
    } else {
      out.push_back(all[i]);
    }
  }
  return out;
}

std::string report_json(const std::vector<Finding>& findings, const graph::SourceInfo& info, const Status& status) {
  JsonWriter json(content::JsonLayout::kIndented);
  json.begin_object();
  json.key("warnings");
  if (findings.empty()) {
    json.null();
  } else {
    json.begin_array();
    for (const auto& finding : findings) {
      json.begin_object();
      json.key("ruleName");
      json.string(finding.rule->name);
      json.string_if("description", finding.rule->description);
      json.string_if("url", finding.rule->url);
      json.string_if("detail", finding.message);
      json.key("location");
      write_location(json, finding.ranges);
      json.end_object();
    }
    json.end_array();
  }
  json.key("sources");
  json.begin_array();
  write_source_info(json, info);
  json.end_array();
  if (!status.ok()) {
    json.key("buildError");
    json.begin_object();
    json.key("message");
    json.string(message_of(status));
    json.key("location");
    write_location(json, merged_places(status, info.data));
    json.end_object();
  }
  json.end_object();
  return json.take();
}

std::string report_text(std::vector<Finding> findings, const graph::SourceInfo& info) {
  auto line = [](const Finding& f) { return f.ranges.empty() ? 0 : f.ranges.front().start.line; };
  std::stable_sort(findings.begin(), findings.end(), [&](const Finding& a, const Finding& b) {
    if (a.ranges.empty() && b.ranges.empty()) return a.rule->name < b.rule->name;
    return line(a) < line(b);
  });
  std::string out;
  for (const auto& finding : findings) {
    out += fmt::format("\nWARNING: {}", finding.rule->name);
    if (!finding.rule->url.empty()) out += fmt::format(" - {}", finding.rule->url);
    out += fmt::format("\n{}\n{}", finding.message, excerpt(info, finding.ranges));
  }
  return out;
}

}  // namespace

Result<SolveResult> lint_file(BuildRun& run, std::stop_token stop) {
  std::vector<Finding> findings;
  LowerOptions options =
      run.lower_options(std::nullopt, [&](const LintRule& rule, const std::string& message, const Ranges& ranges) {
        findings.push_back({&rule, message, ranges});
      });
  if (run.request.target.empty()) options.reach = Reach::kAllStages;
  Lowering lowering(std::move(options));
  const Status status = lowering.run(stop).status();
  if (is_cancelled(status)) return status;
  const graph::SourceInfo& info = *run.build_file.text;
  SolveResult out;
  out.metadata = {{"result.json", report_json(findings, info, status)},
                  {"result.txt", report_text(findings, info)},
                  {"result.statuscode", findings.empty() && status.ok() ? "0" : "1"},
                  {"version", "1.0.0"}};
  return out;
}

}  // namespace kiln::frontend::dockerfile
