// Values as flags, option maps and configuration write them: booleans, sizes, comma lists.
//
//   KILN_ASSIGN_OR_RETURN(bool on, parse_bool("true"));
//   KILN_ASSIGN_OR_RETURN(auto fields, parse_csv("type=local,\"dest=a,b\""));
//
// The syntaxes are those of Go's strconv and encoding/csv and of docker's size strings, which
// BuildKit's users know. All functions are pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quote.h"
#include "base/status.h"

namespace kiln {

// 1 t T true True TRUE, 0 f F false False FALSE; nothing otherwise.
std::optional<bool> parse_bool(std::string_view text);
// Digits of the given base only, at most `max`; nothing otherwise.
std::optional<std::uint64_t> parse_unsigned(std::string_view text, int base, std::uint64_t max);
// Decimal with optional sign; nothing otherwise.
std::optional<std::int64_t> parse_integer(std::string_view text);

// "64m", "1.5GiB", "100", "2kb": bytes, units are powers of 1024. InvalidArgument otherwise.
Result<std::int64_t> parse_size(std::string_view text);

// One record of comma separated values; a field may be quoted, "" inside quotes is a quote.
// InvalidArgument for a stray or open quote.
Result<std::vector<std::string>> parse_csv(std::string_view line);

}  // namespace kiln
