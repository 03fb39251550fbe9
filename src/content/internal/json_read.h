// Reading documents of others with nlohmann's parser, without its exceptions: a field of the wrong
// type is a Status that names it.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/platform.h"
#include "base/status.h"
#include "content/descriptor.h"

namespace kiln::content::internal {

using Json = nlohmann::json;

inline Status malformed(std::string_view what) { return peer_error(Code::kFailedPrecondition, what); }

// The document, which must be an object.
Result<Json> parse_object(std::string_view text, std::string_view what);

// Null counts as absent. Each leaves `out` alone when the field is absent.
Status get(const Json& object, const char* name, std::string& out);
Status get(const Json& object, const char* name, std::int64_t& out);
Status get(const Json& object, const char* name, bool& out);
Status get(const Json& object, const char* name, std::vector<std::string>& out);
Status get(const Json& object, const char* name, StringMap& out);
Status get(const Json& object, const char* name, Digest& out);
// The member when it is there and an object or array.
const Json* member(const Json& object, const char* name);

Result<Platform> platform_of(const Json& object);

}  // namespace kiln::content::internal
