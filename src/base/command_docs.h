// What can be printed from a command table: help, shell completions, man pages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/command_line.h"

namespace kiln {

// Help of the last command of the path; `program` is the name the program was started under.
std::string help_text(const std::vector<const Command*>& path, std::string_view program);
// A completion script; `shell` is "bash", "zsh" or "fish"; InvalidArgument otherwise.
Result<std::string> completion_script(const Command& root, std::string_view program, std::string_view shell);
// A man page of section 1 (or 8) in man(7) form, all commands in one page.
std::string man_page(const Command& root, std::string_view program, std::string_view version, int section);

}  // namespace kiln
