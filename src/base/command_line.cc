#include "base/command_line.h"

#include <fmt/format.h>

#include <charconv>

#include "base/text.h"
#include "base/value.h"

namespace kiln {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

std::string did_you_mean(std::string_view word, const std::vector<std::string>& options, std::string_view prefix) {
  std::string near = nearest_word(word, options);
  return near.empty() ? "" : fmt::format(" (did you mean {}{}?)", prefix, near);
}

bool named(const Command& command, std::string_view word) {
  if (command.name == word) return true;
  for (std::string_view alias : words(command.aliases)) {
    if (alias == word) return true;
  }
  return false;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Status check_value(const Option& option, const std::string& value) {
  bool good = true;
  switch (option.kind) {
    case OptionKind::kSwitch: good = parse_bool(value).has_value(); break;
    case OptionKind::kInteger: good = parse_integer(value).has_value(); break;
    case OptionKind::kNumber: good = parse_number(value).has_value(); break;
    case OptionKind::kDuration: good = parse_duration(value).ok(); break;
    case OptionKind::kText:
    case OptionKind::kList: break;
  }
  if (good) return ok();
  static constexpr std::string_view kWants[] = {"true or false",  "text",     "text",
                                                "a whole number", "a number", "a duration such as 10s or 1h30m"};
  return fault(fmt::format("invalid value {} for flag --{}: want {}", quote(value), option.name,
                           kWants[static_cast<std::size_t>(option.kind)]));
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& options) {
  std::string best;
  int best_distance = 3;
  for (const std::string& option : options) {
    if (int distance = edit_distance(word, option); distance < best_distance) {
      best_distance = distance;
      best = option;
    }
  }
  return best;
}

const Option* CommandLine::find(std::string_view name) const {
  for (auto command = path_.rbegin(); command != path_.rend(); ++command) {
    for (const Option& option : (*command)->options) {
      if (option.name == name || (name.size() == 1 && option.aliases.find(name[0]) != std::string::npos))
        return &option;
    }
  }
  return nullptr;
}

Result<CommandLine> CommandLine::parse(const Command& root, std::span<const std::string> arguments) {
  CommandLine line;
  line.path_ = {&root};
  bool options_ended = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!options_ended && word == "--") {
      options_ended = true;
    } else if (!options_ended && word.size() > 1 && word[0] == '-') {
      KILN_RETURN_IF_ERROR(line.take_option(word, arguments.subspan(i + 1), i));
    } else if (const auto& inner = line.command().commands; !inner.empty() && line.arguments_.empty()) {
      auto command = std::find_if(inner.begin(), inner.end(), [&](const Command& c) { return named(c, word); });
      if (command != inner.end()) {
        line.path_.push_back(&*command);
      } else if (word == "help" || word == "h") {
        line.wants_help_ = true;
      } else {
        std::vector<std::string> names;
        for (const Command& c : inner) names.push_back(c.name);
        Status unknown = fault(fmt::format("unknown command {}{}", quote(word), did_you_mean(word, names, "")));
        set_detail(unknown, kUnknownCommandDetail, word);
        return unknown;
      }
    } else {
      line.arguments_.push_back(word);
    }
  }
  if (!line.command().commands.empty()) line.wants_help_ = true;
  return line;
}

Status CommandLine::take_option(std::string_view word, std::span<const std::string> rest, std::size_t& used) {
  auto [dashed, value] = split_once(word, '=');
  bool has_value = dashed.size() < word.size();
  std::string_view name = dashed.substr(dashed.starts_with("--") ? 2 : 1);
  const Option* option = find(name);
  if (!option) {
    if (name == "help" || name == "h") {
      wants_help_ = true;
      return ok();
    }
    if (name == "version" || name == "v") {
      wants_version_ = true;
      return ok();
    }
    std::vector<std::string> names;
    for (const Command* command : path_) {
      for (const Option& known : command->options) names.push_back(known.name);
    }
    return fault(fmt::format("unknown flag {}{}; see --help", dashed, did_you_mean(name, names, "--")));
  }
  std::string text(value);
  if (option->kind == OptionKind::kSwitch) {
    if (!has_value) text = "true";
  } else if (!has_value) {
    if (rest.empty()) return fault(fmt::format("flag needs a value: {}", dashed));
    text = rest[0];
    ++used;
  }
  KILN_RETURN_IF_ERROR(check_value(*option, text));
  std::vector<std::string>& values = values_[option->name];
  if (option->kind != OptionKind::kList) values.clear();
  values.push_back(std::move(text));
  return ok();
}

bool CommandLine::given(std::string_view option) const { return values_.find(option) != values_.end(); }

std::string CommandLine::text(std::string_view name) const {
  if (auto at = values_.find(name); at != values_.end()) return at->second.back();
  const Option* option = find(name);
  return option ? option->fallback : "";
}

std::vector<std::string> CommandLine::list(std::string_view name) const {
  auto at = values_.find(name);
  return at == values_.end() ? std::vector<std::string>() : at->second;
}

bool CommandLine::on(std::string_view name) const { return parse_bool(text(name)).value_or(false); }
std::int64_t CommandLine::integer(std::string_view name) const { return parse_integer(text(name)).value_or(0); }
double CommandLine::number(std::string_view name) const { return parse_number(text(name)).value_or(0); }
Duration CommandLine::duration(std::string_view name) const { return parse_duration(text(name)).value_or(Duration{}); }

}  // namespace kiln
