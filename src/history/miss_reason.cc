#include "history/miss_reason.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace kiln::history {
namespace {

// A list of changed files is for people: the rest is counted.
constexpr std::size_t kFilesShown = 10;
constexpr std::size_t kValueShown = 160;

std::string shown(const std::string& value) {
  return value.size() <= kValueShown ? value : value.substr(0, kValueShown) + "…";
}

std::string change_text(const std::string& name, const std::string& was, const std::string& now, bool had, bool has) {
  if (!had) return fmt::format("{} is new: '{}'", name, shown(now));
  if (!has) return fmt::format("{} is gone; it was '{}'", name, shown(was));
  return fmt::format("{} changed from '{}' to '{}'", name, shown(was), shown(now));
}

std::string part_name(const std::string& name) {
  if (name.starts_with("env ")) return fmt::format("the variable or build argument '{}'", name.substr(4));
  if (name.starts_with("mount ")) return fmt::format("the mount at '{}'", name.substr(6));
  return "the " + name;
}

void compare_parts(const std::vector<event::KeyPart>& was, const std::vector<event::KeyPart>& now,
                   const std::string& kind, std::vector<MissReason>& out) {
  std::map<std::string, std::string> before, after;
  for (const auto& part : was) before.emplace(part.name, part.value);
  for (const auto& part : now) after.emplace(part.name, part.value);
  const auto add = [&](const std::string& name, const std::string* old_value, const std::string* new_value) {
    MissReason reason{kind, name, old_value ? *old_value : "", new_value ? *new_value : "", ""};
    reason.text = change_text(part_name(name), reason.was, reason.now, old_value != nullptr, new_value != nullptr);
    out.push_back(std::move(reason));
  };
  for (const auto& [name, value] : after) {
    auto it = before.find(name);
    if (it == before.end()) {
      add(name, nullptr, &value);
    } else if (it->second != value) {
      add(name, &it->second, &value);
    }
  }
  for (const auto& [name, value] : before) {
    if (!after.contains(name)) add(name, &value, nullptr);
  }
}

void compare_files(const event::KeyInput& was, const event::KeyInput& now, std::vector<MissReason>& out) {
  std::map<std::string, const event::FileSum*> before, after;
  for (const auto& file : was.files) before.emplace(file.path, &file);
  for (const auto& file : now.files) after.emplace(file.path, &file);
  std::vector<MissReason> found;
  const auto add = [&](const event::FileSum& file, const char* verb, bool had, bool has) {
    const char* what = file.whole ? "below " : "";
    found.push_back({"file", file.path, had ? "present" : "", has ? "present" : "",
                     fmt::format("{}'{}' {}", what, file.path, verb)});
  };
  for (const auto& [path, file] : after) {
    auto it = before.find(path);
    if (it == before.end()) {
      add(*file, file->whole ? "something was added" : "was added", false, true);
    } else if (it->second->sum != file->sum) {
      add(*file, file->whole ? "something changed" : "changed", true, true);
    }
  }
  for (const auto& [path, file] : before) {
    if (!after.contains(path)) add(*file, file->whole ? "something was removed" : "was removed", true, false);
  }
  if (found.empty()) {
    found.push_back({"file", now.name, "", "", fmt::format("files of '{}' changed", now.name)});
  }
  const std::size_t all = found.size();
  if (all > kFilesShown) {
    found.resize(kFilesShown);
    found.push_back({"file", "", "", "", fmt::format("and {} more paths", all - kFilesShown)});
  }
  out.insert(out.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
}

bool share_key(const event::KeyInput& a, const event::KeyInput& b) {
  if (!a.content.empty() && a.content == b.content) return true;
  return std::any_of(a.keys.begin(), a.keys.end(), [&](const std::string& key) {
    return std::find(b.keys.begin(), b.keys.end(), key) != b.keys.end();
  });
}

void compare_inputs(const event::CacheMiss& was, const event::CacheMiss& now, const std::vector<Digest>& ran,
                    MissReport& report) {
  const std::size_t both = std::min(was.inputs.size(), now.inputs.size());
  for (std::size_t i = 0; i < both; ++i) {
    const event::KeyInput &before = was.inputs[i], &after = now.inputs[i];
    if (share_key(before, after)) continue;
    const bool ran_anew = std::find(ran.begin(), ran.end(), after.vertex) != ran.end();
    if (ran_anew) report.follows.push_back(after.name);
    if (!before.content.empty() && !after.content.empty()) {
      compare_files(before, after, report.reasons);
    } else if (!before.source.empty() && !after.source.empty() && before.source != after.source) {
      compare_parts(before.source, after.source, "source", report.reasons);
    } else if (!ran_anew) {
      report.reasons.push_back({"input", after.name, before.name, after.name,
                                before.name == after.name
                                    ? fmt::format("it builds on another result of '{}'", after.name)
                                    : fmt::format("it builds on '{}', before on '{}'", after.name, before.name)});
    }
  }
  if (was.inputs.size() == now.inputs.size()) return;
  report.reasons.push_back({"input", "", fmt::format("{}", was.inputs.size()), fmt::format("{}", now.inputs.size()),
                            fmt::format("it uses {} inputs, before {}", now.inputs.size(), was.inputs.size())});
}

bool same_base(const event::CacheMiss& a, const event::CacheMiss& b) {
  return !a.inputs.empty() && !b.inputs.empty() && share_key(a.inputs[0], b.inputs[0]);
}

int equal_parts(const event::CacheMiss& a, const event::CacheMiss& b) {
  return static_cast<int>(std::count_if(a.parts.begin(), a.parts.end(), [&](const event::KeyPart& part) {
    return std::find(b.parts.begin(), b.parts.end(), part) != b.parts.end();
  }));
}

// The first word of an instruction: RUN, COPY.
std::string verb_of(const std::string& name) {
  std::string words = words_of(name);
  return words.substr(0, words.find(' '));
}

}  // namespace

std::string place_of(const std::string& name) {
  const std::size_t end = name.starts_with('[') ? name.find("] ") : std::string::npos;
  return end == std::string::npos ? "" : name.substr(0, end + 1);
}

std::string words_of(const std::string& name) {
  const std::size_t place = place_of(name).size();
  return place == 0 ? name : name.substr(place + 1);
}

int likeness(const event::CacheMiss& a, const event::CacheMiss& b) {
  if (verb_of(a.name) != verb_of(b.name)) return 0;
  int score = 0;
  if (a.key == b.key) score += 400;
  if (words_of(a.name) == words_of(b.name)) score += 200;
  if (same_base(a, b)) score += 100;
  if (!place_of(a.name).empty() && place_of(a.name) == place_of(b.name)) score += 50;
  const int parts = static_cast<int>(std::max(a.parts.size(), b.parts.size()));
  if (parts > 0) score += 49 * equal_parts(a, b) / parts;
  for (std::size_t i = 0; i < std::min(a.inputs.size(), b.inputs.size()); ++i)
    score += share_key(a.inputs[i], b.inputs[i]) ? 20 : 0;
  // The same line of another file is another step.
  return score < 90 ? 0 : score;
}

MissReport compare(const event::CacheMiss& now, const EarlierRun* earlier, const std::vector<Digest>& ran) {
  MissReport report;
  report.vertex = now.vertex;
  report.name = now.name;
  if (earlier != nullptr) {
    report.nearest_ref = earlier->ref;
    report.nearest_at = earlier->at;
    if (earlier->facts.name != now.name) report.nearest_name = earlier->facts.name;
  }
  if (now.ignored) {
    report.verdict = MissVerdict::kIgnored;
    return report;
  }
  if (earlier == nullptr) return report;
  compare_parts(earlier->facts.parts, now.parts, "part", report.reasons);
  if (report.reasons.empty() && earlier->facts.key != now.key) {
    report.reasons.push_back({"operation", "", earlier->facts.key, now.key, "the operation itself is another"});
  }
  compare_inputs(earlier->facts, now, ran, report);
  if (!report.reasons.empty()) {
    report.verdict = MissVerdict::kChanged;
  } else {
    report.verdict = report.follows.empty() ? MissVerdict::kRemoved : MissVerdict::kFollows;
  }
  return report;
}

std::string_view verdict_name(MissVerdict verdict) {
  switch (verdict) {
    case MissVerdict::kFirst: return "first";
    case MissVerdict::kIgnored: return "ignored";
    case MissVerdict::kRemoved: return "removed";
    case MissVerdict::kChanged: return "changed";
    case MissVerdict::kFollows: return "follows";
  }
  return "";
}

std::vector<std::string> report_lines(const MissReport& report) {
  switch (report.verdict) {
    case MissVerdict::kFirst: return {"no step like this ran before"};
    case MissVerdict::kIgnored: return {"the build asked to run it anew (no-cache)"};
    case MissVerdict::kRemoved: return {"it ran before just so, but its result was removed from the cache"};
    case MissVerdict::kFollows: return {fmt::format("it builds on '{}', which ran anew", report.follows.front())};
    case MissVerdict::kChanged: break;
  }
  std::vector<std::string> lines;
  for (const MissReason& reason : report.reasons) lines.push_back(reason.text);
  return lines;
}

}  // namespace kiln::history
