#include "base/value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace kiln {

std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "True", "TRUE"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "False", "FALSE"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_unsigned(std::string_view text, int base, std::uint64_t max) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<std::int64_t> parse_size(std::string_view text) {
  auto invalid = [&] { return user_error(Code::kInvalidArgument, fmt::format("invalid size: '{}'", text)); };
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || !std::isfinite(number)) return invalid();
  std::string unit = to_lower(trim(text.substr(static_cast<std::size_t>(end - text.data()))));
  int power = 0;
  if (!unit.empty() && unit != "b") {
    static constexpr std::string_view kUnits = "kmgtp";
    auto at = kUnits.find(unit[0]);
    std::string_view rest = std::string_view(unit).substr(1);
    if (at == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) return invalid();
    power = static_cast<int>(at) + 1;
  }
  double bytes = number * std::pow(1024.0, power);
  if (bytes >= 9.2e18) return invalid();
  return static_cast<std::int64_t>(bytes);
}

Result<std::vector<std::string>> parse_csv(std::string_view line) {
  auto fault = [&](std::size_t at, std::string_view what) {
    return user_error(Code::kInvalidArgument, fmt::format("parse error on line 1, column {}: {}", at + 1, what));
  };
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  std::vector<std::string> fields;
  if (line.empty()) return fields;
  std::size_t at = 0;
  while (true) {
    std::string field;
    if (at < line.size() && line[at] == '"') {
      for (++at;; ++at) {
        if (at >= line.size()) return fault(at, "extraneous or missing \" in quoted-field");
        if (line[at] == '"') {
          if (at + 1 >= line.size() || line[at + 1] != '"') break;
          ++at;
        }
        field.push_back(line[at]);
      }
      ++at;
      if (at < line.size() && line[at] != ',') return fault(at, "extraneous or missing \" in quoted-field");
    } else {
      std::size_t comma = std::min(line.find(',', at), line.size());
      field = line.substr(at, comma - at);
      if (auto stray = field.find('"'); stray != std::string::npos)
        return fault(at + stray, "bare \" in non-quoted-field");
      at = comma;
    }
    fields.push_back(std::move(field));
    if (at >= line.size()) return fields;
    ++at;
  }
}

}  // namespace kiln
