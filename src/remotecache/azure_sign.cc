#include "remotecache/azure_sign.h"

#include <fmt/chrono.h>

#include <map>

#include "base/base64.h"
#include "base/text.h"
#include "remotecache/hmac.h"

namespace kiln::remotecache {

std::string http_date(Time time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)));
}

Result<std::string> azure_string_to_sign(const registry::Request& request, const std::string& account,
                                         std::uint64_t body_bytes) {
  KILN_ASSIGN_OR_RETURN(auto url, registry::parse_url(request.url));
  auto header = [&](const char* name) { return std::string(request.headers.get(name)); };
  std::string out = request.method + "\n";
  out += header("Content-Encoding") + "\n" + header("Content-Language") + "\n";
  out += (body_bytes > 0 ? std::to_string(body_bytes) : "") + "\n";
  out += header("Content-MD5") + "\n" + header("Content-Type") + "\n\n";  // the date is in x-ms-date
  out += header("If-Modified-Since") + "\n" + header("If-Match") + "\n" + header("If-None-Match") + "\n";
  out += header("If-Unmodified-Since") + "\n" + header("Range") + "\n";
  std::map<std::string, std::string> own;
  for (const auto& [name, value] : request.headers.lines()) {
    if (std::string lower = to_lower(name); lower.starts_with("x-ms-")) own[lower] = trim(value);
  }
  for (const auto& [name, value] : own) out += name + ":" + value + "\n";
  out += "/" + account + (url.path.empty() ? "/" : url.path);
  std::map<std::string, std::string> query;
  if (!url.query.empty()) {
    for (std::string_view part : split(url.query, '&')) {
      const auto [name, value] = split_once(part, '=');
      KILN_ASSIGN_OR_RETURN(std::string plain, registry::url_decode(value));
      std::string& values = query[to_lower(name)];
      values += (values.empty() ? "" : ",") + plain;
    }
  }
  for (const auto& [name, value] : query) out += "\n" + name + ":" + value;
  return out;
}

Status sign_azure(registry::Request& request, const AzureKey& key, Time now) {
  auto raw = base64_decode(key.key_base64);
  if (!raw) return user_error(Code::kInvalidArgument, "secret_access_key of the azblob cache is no base64");
  request.headers.set("x-ms-date", http_date(now));
  const std::uint64_t bytes = request.body != nullptr ? request.body_bytes.value_or(0) : request.body_text.size();
  KILN_ASSIGN_OR_RETURN(std::string text, azure_string_to_sign(request, key.account, bytes));
  request.headers.set("Authorization",
                      fmt::format("SharedKey {}:{}", key.account, base64_encode(hmac_sha256(*raw, text))));
  return ok();
}

}  // namespace kiln::remotecache
