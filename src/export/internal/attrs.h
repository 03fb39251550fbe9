// Attributes of exporters, as strings from a command line, made values. Errors carry the wording that
// BuildKit's clients show.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "export/exporter.h"

namespace kiln::exporter::internal {

// Go's words for truth: 1, t, T, TRUE, true, True and their opposites.
std::optional<bool> parse_bool(std::string_view text);
// InvalidArgument "non-bool value specified for <key>: …".
Result<bool> bool_attr(std::string_view key, std::string_view value);
// The same, but a key without a value means yes.
Result<bool> flag_attr(std::string_view key, std::string_view value);

// SOURCE_DATE_EPOCH as an exporter sees it: not said, said to be off, or a time. What is said by
// attribute wins over what the frontend found.
struct Epoch {
  bool said = false;
  std::optional<Time> time;
};
// Takes "source-date-epoch" out of the attributes.
Result<Epoch> take_epoch(Attrs& attrs);
// The frontend's value for a platform id ("" for the whole).
Result<std::optional<Time>> frontend_epoch(const Attrs& metadata, const std::string& platform_id);
// What holds for one platform of the result.
Result<std::optional<Time>> epoch_for(const Epoch& epoch, const Attrs& metadata, const std::string& platform_id);

}  // namespace kiln::exporter::internal
