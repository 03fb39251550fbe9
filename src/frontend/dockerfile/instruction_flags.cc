#include "frontend/dockerfile/instruction_flags.h"

#include <fmt/format.h>

#include "base/text.h"
#include "frontend/dockerfile/lint.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {
namespace {

// What an unknown flag may have been meant to be: the near one, else all there are.
std::string flag_hint(std::string_view name, const std::vector<std::string>& known) {
  std::string near = suggestion_suffix(name, known, MatchCase::kSensitive);
  if (!near.empty()) return near;
  return known.empty() ? "; this instruction takes no flags" : fmt::format("; there are --{}", join(known, ", --"));
}

}  // namespace

FlagSet::Flag& FlagSet::add(std::string_view name, Kind kind, std::string_view value) {
  return flags_.emplace_back(Flag{std::string(name), kind, std::string(value), {}, false});
}

Status FlagSet::parse(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    auto [shown, value] = split_once(word, '=');
    std::string_view name = shown.substr(2);
    auto flag = std::find_if(flags_.begin(), flags_.end(), [&](const Flag& f) { return f.name == name; });
    if (flag == flags_.end()) {
      std::vector<std::string> known;
      for (const Flag& f : flags_) known.push_back(f.name);
      return word_fault(shown, fmt::format("unknown flag: {}{}", shown, flag_hint(name, known)));
    }
    if (flag->used && flag->kind != Kind::kList)
      return word_fault(shown, fmt::format("duplicate flag specified: {}", shown));
    flag->used = true;
    KILN_RETURN_IF_ERROR(set(*flag, shown, value, shown.size() < word.size()));
  }
  return ok();
}

Status FlagSet::set(Flag& flag, std::string_view shown, std::string_view value, bool has_value) {
  if (flag.kind == Kind::kBoolean) {
    if (has_value && value.empty()) return word_fault(shown, fmt::format("missing a value on flag: {}", shown));
    std::string lower = to_lower(value);
    if (lower != "" && lower != "true" && lower != "false") {
      return word_fault(fmt::format("{}={}", shown, value),
                        fmt::format("expecting boolean value for flag {}, not: {}", shown, value));
    }
    flag.value = lower == "false" ? "false" : "true";
    return ok();
  }
  if (!has_value) return word_fault(shown, fmt::format("missing a value on flag: {}", shown));
  if (flag.kind == Kind::kList) {
    flag.values.emplace_back(value);
  } else {
    flag.value = value;
  }
  return ok();
}

std::vector<std::string> FlagSet::used() const {
  std::vector<std::string> out;
  for (const Flag& flag : flags_) {
    if (flag.used) out.push_back(flag.name);
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
