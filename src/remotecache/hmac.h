// HMAC-SHA256 (RFC 2104), as signed requests need it.
#pragma once

#include <string>
#include <string_view>

namespace kiln::remotecache {

// 32 raw bytes.
std::string hmac_sha256(std::string_view key, std::string_view text);

}  // namespace kiln::remotecache
