#include "base/command_docs.h"

#include <fmt/format.h>

#include "base/text.h"

namespace kiln {
namespace {

std::string full_name(const std::vector<const Command*>& path, std::string_view program) {
  std::string out(program);
  for (std::size_t i = 1; i < path.size(); ++i) out += " " + path[i]->name;
  return out;
}

std::string option_left(const Option& option) {
  std::string out;
  for (char alias : option.aliases) out += fmt::format("-{}, ", alias);
  out += "--" + option.name;
  if (option.kind != OptionKind::kSwitch) out += " " + option.value_name;
  return out;
}

std::string option_right(const Option& option) {
  std::string out = option.help;
  if (!option.choices.empty()) out += fmt::format(" ({})", join(option.choices, ", "));
  if (!option.fallback.empty() && option.fallback != "false") out += fmt::format(" (default: {})", option.fallback);
  return out;
}

void add_rows(std::string& out, const std::vector<std::pair<std::string, std::string>>& rows) {
  constexpr std::size_t kLeftMax = 34;
  std::size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, std::min(left.size(), kLeftMax));
  for (const auto& [left, right] : rows) {
    if (left.size() > kLeftMax) {
      out += fmt::format("   {}\n   {:{}}  {}\n", left, "", width, right);
    } else {
      out += fmt::format("   {:{}}  {}\n", left, width, right);
    }
  }
}

void add_options(std::string& out, std::string_view title, const std::vector<Option>& options) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Option& option : options) {
    if (!option.hidden) rows.emplace_back(option_left(option), option_right(option));
  }
  if (rows.empty()) return;
  out += fmt::format("\n{}:\n", title);
  add_rows(out, rows);
}

// All commands below `root` with their paths, outer ones first.
void walk(const Command& command, std::vector<const Command*>& path, auto&& visit) {
  path.push_back(&command);
  visit(path);
  for (const Command& inner : command.commands) {
    if (!inner.hidden) walk(inner, path, visit);
  }
  path.pop_back();
}

std::string words_of(const std::vector<const Command*>& path) {
  std::string out;
  for (const Command& inner : path.back()->commands) {
    if (!inner.hidden) out += inner.name + " ";
  }
  for (const Command* command : path) {
    for (const Option& option : command->options) {
      if (!option.hidden) out += "--" + option.name + " ";
    }
  }
  return out + "--help";
}

std::string identifier(std::string_view name) {
  return replace_all(replace_all(std::string(name), "-", "_"), " ", "_");
}

// What completes the value of an option in bash; empty when nothing is known of it.
std::string bash_values(const Option& option) {
  if (!option.choices.empty()) return fmt::format("-W \"{}\"", join(option.choices, " "));
  if (option.completion == Completion::kFile) return "-f";
  if (option.completion == Completion::kDirectory) return "-d";
  return "";
}

// Lines of a bash `case` over "<command> <option>". An option of the program itself may stand behind any command, so
// its pattern begins with a star and its lines have to come last.
std::string bash_value_cases(const Command& command, std::string_view name, bool anywhere) {
  std::string out;
  for (const Option& option : command.options) {
    std::string values = bash_values(option);
    if (values.empty()) continue;
    std::string start = anywhere ? "*\" " : fmt::format("\"{} ", name);
    std::string patterns = fmt::format("{}--{}\"", start, option.name);
    for (char alias : option.aliases) patterns += fmt::format("|{}-{}\"", start, alias);
    out += fmt::format("    {}) COMPREPLY=($(compgen {} -- \"$cur\")); return ;;\n", patterns, values);
  }
  return out;
}

std::string bash_script(const Command& root, std::string_view program) {
  std::string cases, values;
  std::vector<const Command*> path;
  walk(root, path, [&](const std::vector<const Command*>& here) {
    std::string name = full_name(here, program);
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", name, words_of(here));
    if (here.size() > 1) values += bash_value_cases(*here.back(), name, false);
  });
  values += bash_value_cases(root, program, true);
  return fmt::format(R"(# bash completion for {0}
_{1}() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" path="{0}" words="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) ;; *) path="$path $word" ;; esac
  done
  while [ -n "$path" ]; do
    case "$path" in
{2}    esac
    [ -n "$words" ] && break
    case "$path" in *" "*) path="${{path% *}}" ;; *) path="" ;; esac
  done
  case "$path $prev" in
{3}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  case "$cur" in -*) ;; *) COMPREPLY+=($(compgen -f -- "$cur")) ;; esac
}}
complete -o filenames -F _{1} {0}
)",
                     program, identifier(program), cases, values);
}

std::string fish_script(const Command& root, std::string_view program) {
  std::string out = fmt::format("# fish completion for {}\n", program);
  std::vector<const Command*> path;
  walk(root, path, [&](const std::vector<const Command*>& here) {
    std::string condition;
    if (here.size() > 1) condition = fmt::format(" -n '__fish_seen_subcommand_from {}'", here.back()->name);
    for (const Command& inner : here.back()->commands) {
      if (inner.hidden) continue;
      out += fmt::format("complete -c {}{} -f -a {} -d '{}'\n", program,
                         here.size() > 1 ? condition : " -n __fish_use_subcommand", inner.name,
                         replace_all(inner.summary, "'", "\\'"));
    }
    for (const Option& option : here.back()->options) {
      if (option.hidden) continue;
      std::string shorts;
      for (char alias : option.aliases) shorts += fmt::format(" -s {}", alias);
      std::string value = option.kind == OptionKind::kSwitch       ? ""
                          : option.completion == Completion::kNone ? " -x"
                                                                   : " -r";
      if (!option.choices.empty()) value += fmt::format(" -a '{}'", join(option.choices, " "));
      out += fmt::format("complete -c {}{}{} -l {}{} -d '{}'\n", program, condition, shorts, option.name, value,
                         replace_all(option.help, "'", "\\'"));
    }
  });
  return out;
}

// Text in man(7) form.
std::string troff(std::string_view text) {
  std::string out = replace_all(replace_all(std::string(text), "\\", "\\e"), "-", "\\-");
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

}  // namespace

std::string help_text(const std::vector<const Command*>& path, std::string_view program) {
  const Command& command = *path.back();
  std::string name = full_name(path, program);
  std::string out = fmt::format("NAME:\n   {} - {}\n\nUSAGE:\n   {}{}{}{}\n", name, command.summary, name,
                                command.options.empty() ? "" : " [options]", command.commands.empty() ? "" : " command",
                                command.arguments.empty() ? "" : " " + command.arguments);
  if (!command.description.empty()) {
    out += "\nDESCRIPTION:\n";
    for (std::string_view line : split(command.description, '\n')) out += fmt::format("   {}\n", line);
  }
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& inner : command.commands) {
    if (!inner.hidden) rows.emplace_back(join(words(inner.name + " " + inner.aliases), ", "), inner.summary);
  }
  if (!rows.empty()) {
    out += "\nCOMMANDS:\n";
    add_rows(out, rows);
  }
  add_options(out, path.size() == 1 ? "GLOBAL OPTIONS" : "OPTIONS", command.options);
  for (std::size_t i = path.size() - 1; i-- > 0;)
    add_options(out, i == 0 ? "GLOBAL OPTIONS" : "OPTIONS OF " + to_upper(path[i]->name), path[i]->options);
  return out;
}

Result<std::string> completion_script(const Command& root, std::string_view program, std::string_view shell) {
  if (shell == "bash") return bash_script(root, program);
  if (shell == "fish") return fish_script(root, program);
  if (shell == "zsh") {
    return fmt::format("#compdef {}\nautoload -U +X bashcompinit && bashcompinit\n{}", program,
                       bash_script(root, program));
  }
  return user_error(Code::kInvalidArgument,
                    fmt::format("no completions for shell '{}'; there are bash, zsh and fish", shell));
}

std::string man_page(const Command& root, std::string_view program, std::string_view version, int section) {
  std::string out =
      fmt::format(".TH {} {} \"\" \"{}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n[options]{}{}\n", to_upper(program),
                  section, version, troff(program), troff(root.summary), troff(program),
                  root.commands.empty() ? "" : " command", root.arguments.empty() ? "" : " " + troff(root.arguments));
  if (!root.description.empty()) out += fmt::format(".SH DESCRIPTION\n{}\n", troff(root.description));
  std::vector<const Command*> path;
  walk(root, path, [&](const std::vector<const Command*>& here) {
    const Command& command = *here.back();
    if (here.size() == 1) {
      out += ".SH OPTIONS\n";
    } else {
      if (here.size() == 2 && here.back() == &root.commands.front()) out += ".SH COMMANDS\n";
      out += fmt::format(".SS {} {}\n{}\n", troff(full_name(here, program)), troff(command.arguments),
                         troff(command.summary));
      for (std::string_view line : split(command.description, '\n')) {
        if (!trim(line).empty()) out += fmt::format(".PP\n{}\n", troff(trim(line)));
      }
    }
    for (const Option& option : command.options) {
      if (!option.hidden)
        out += fmt::format(".TP\n.B {}\n{}\n", troff(option_left(option)), troff(option_right(option)));
    }
  });
  return out;
}

}  // namespace kiln
