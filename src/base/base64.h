// Base64 as JSON documents carry it: standard alphabet, padded (RFC 4648 section 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kiln {

// Both pure; any thread.
std::string base64_encode(std::string_view bytes);
// Absent when the text is no padded base64. Line breaks are not taken.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace kiln
