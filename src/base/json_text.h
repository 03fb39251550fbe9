// JSON text exactly as Go's encoding/json writes it, for documents whose digest matters: compact,
// with <, >, & and U+2028/9 escaped and broken UTF-8 replaced.
//
//   std::string out; append_json_string(out, name);      json_list({"a", "b"}) == R"(["a","b"])"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// Appends `text` in quotes. Pure; any thread.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);
std::string json_list(const std::vector<std::string>& items);

}  // namespace kiln
