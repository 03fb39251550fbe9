// Values and commands in the form that rules recommend, where that form says the same. Private to
// the folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::frontend::dockerfile {

// The value of an old `ENV key value` as it stands behind `key=`: as it is when it is one word, in
// double quotes when it has blanks. Nothing when quotes or escapes in it make that unclear.
std::optional<std::string> quoted_value(std::string_view value);
// Any plain text in double quotes; nothing with quotes, escapes or variables in it.
std::optional<std::string> quoted_text(std::string_view text);
// A shell command as a JSON array; nothing when it needs a shell.
std::optional<std::string> json_command(std::vector<std::string> words);

}  // namespace kiln::frontend::dockerfile
