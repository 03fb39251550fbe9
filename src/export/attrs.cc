#include "export/internal/attrs.h"
#include "base/timestamp.h"

#include <fmt/format.h>

#include <charconv>

namespace kiln::exporter::internal {
namespace {

constexpr const char* kEpochMetadata = "source.date.epoch";

Result<std::optional<Time>> parse_epoch(std::string_view key, std::string_view value) {
  if (value.empty()) return std::optional<Time>();
  std::int64_t seconds = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc() || end != value.data() + value.size()) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid {}: strconv.ParseInt: parsing \"{}\": invalid syntax", key, value));
  }
  return std::optional<Time>(timestamp(seconds));
}

}  // namespace

std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

Result<bool> bool_attr(std::string_view key, std::string_view value) {
  if (auto parsed = parse_bool(value)) return *parsed;
  return user_error(
      Code::kInvalidArgument,
      fmt::format("non-bool value specified for {}: strconv.ParseBool: parsing \"{}\": invalid syntax", key, value));
}

Result<bool> flag_attr(std::string_view key, std::string_view value) {
  return value.empty() ? Result<bool>(true) : bool_attr(key, value);
}

Result<Epoch> take_epoch(Attrs& attrs) {
  auto it = attrs.find("source-date-epoch");
  if (it == attrs.end()) return Epoch{};
  Epoch epoch;
  epoch.said = true;
  KILN_ASSIGN_OR_RETURN(epoch.time, parse_epoch(it->first, it->second));
  attrs.erase(it);
  return epoch;
}

Result<std::optional<Time>> frontend_epoch(const Attrs& metadata, const std::string& platform_id) {
  auto it = platform_id.empty() ? metadata.end() : metadata.find(fmt::format("{}/{}", kEpochMetadata, platform_id));
  if (it == metadata.end()) it = metadata.find(kEpochMetadata);
  if (it == metadata.end()) return std::optional<Time>();
  auto time = parse_epoch("", it->second);
  if (!time.ok()) {
    return annotate(time.status(), fmt::format("invalid SOURCE_DATE_EPOCH from frontend: \"{}\"", it->second));
  }
  return time;
}

Result<std::optional<Time>> epoch_for(const Epoch& epoch, const Attrs& metadata, const std::string& platform_id) {
  if (epoch.said) return epoch.time;
  // A value for the whole result stands before those for single platforms.
  if (metadata.contains(kEpochMetadata)) return frontend_epoch(metadata, "");
  return frontend_epoch(metadata, platform_id);
}

}  // namespace kiln::exporter::internal
