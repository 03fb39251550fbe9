#include "remotecache/gha_token.h"

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/text.h"
#include "base/timestamp.h"

namespace kiln::remotecache {
namespace {

using Json = nlohmann::json;

Status bad(std::string_view why) {
  return user_error(Code::kInvalidArgument, fmt::format("github actions cache: {}", why));
}

// The second part of header.claims.signature.
Result<Json> claims_of(std::string_view token) {
  auto parts = split(token, '.');
  if (parts.size() != 3) return bad("the token is no JSON web token");
  std::string text(parts[1]);
  for (char& c : text) {
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  while (text.size() % 4 != 0) text += '=';
  auto decoded = base64_decode(text);
  Json claims = decoded ? Json::parse(*decoded, nullptr, false) : Json();
  if (!claims.is_object()) return bad("the token has no claims");
  return claims;
}

Result<Time> time_claim(const Json& claims, const char* name) {
  auto it = claims.find(name);
  if (it == claims.end() || !it->is_number()) return bad(fmt::format("the token has no claim \"{}\"", name));
  return timestamp(static_cast<std::int64_t>(std::clamp(it->get<double>(), -1e15, 1e15)));
}

}  // namespace

Result<std::vector<GhaScope>> read_gha_token(std::string_view token, Time now) {
  KILN_ASSIGN_OR_RETURN(Json claims, claims_of(token));
  KILN_ASSIGN_OR_RETURN(Time expires, time_claim(claims, "exp"));
  if (now > expires) return bad("cache token expired at " + format_rfc3339(expires));
  KILN_ASSIGN_OR_RETURN(Time begins, time_claim(claims, "nbf"));
  if (now < begins) return bad("the token is valid only from " + format_rfc3339(begins));
  auto controls = claims.find("ac");
  if (controls == claims.end() || !controls->is_string()) return bad("the token has no access controls");
  const Json list = Json::parse(controls->get<std::string>(), nullptr, false);
  if (!list.is_array()) return bad("the token's access controls are no list");
  std::vector<GhaScope> out;
  for (const Json& entry : list) {
    if (!entry.is_object()) continue;
    auto scope = entry.find("Scope");
    auto permission = entry.find("Permission");
    if (scope == entry.end() || !scope->is_string()) continue;
    const bool writable =
        permission != entry.end() && permission->is_number_integer() && (permission->get<int>() & 2) != 0;
    out.push_back({scope->get<std::string>(), writable});
  }
  return out;
}

}  // namespace kiln::remotecache
