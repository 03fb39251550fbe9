#include "remotecache/aws_sign.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/digest.h"
#include "base/text.h"
#include "remotecache/hmac.h"

namespace kiln::remotecache {
namespace {

std::string sha256_hex(std::string_view text) { return std::string(Digest::of(text).hex()); }

std::string canonical_query(const std::string& query) {
  if (query.empty()) return "";
  std::vector<std::string> parts;
  for (std::string_view part : split(query, '&')) {
    parts.emplace_back(part);
    if (part.find('=') == std::string_view::npos) parts.back() += '=';
  }
  std::sort(parts.begin(), parts.end());
  return join(parts, "&");
}

std::string host_header(const registry::Url& url) {
  const bool usual = (url.scheme == "https" && url.port == "443") || (url.scheme == "http" && url.port == "80");
  registry::Url told = url;
  if (usual) told.port.clear();
  return told.authority();
}

// Name in lower case → value, blanks folded.
std::map<std::string, std::string> canonical_headers(const registry::Request& request, const std::string& host) {
  std::map<std::string, std::string> out = {{"host", host}};
  for (const auto& [name, value] : request.headers.lines()) out[to_lower(name)] = join(words(value), " ");
  return out;
}

}  // namespace

std::string encode_path(std::string_view path) { return replace_all(registry::url_encode(path), "%2F", "/"); }

Status sign_aws(registry::Request& request, const AwsCredentials& credentials, const AwsScope& scope,
                std::string_view payload_hash, Time now) {
  KILN_ASSIGN_OR_RETURN(auto url, registry::parse_url(request.url));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const std::string stamp =
      fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)));
  const std::string day = stamp.substr(0, 8);
  request.headers.set("x-amz-date", stamp);
  request.headers.set("x-amz-content-sha256", std::string(payload_hash));
  if (!credentials.session_token.empty()) request.headers.set("x-amz-security-token", credentials.session_token);

  std::vector<std::string> names;
  std::string headers;
  for (const auto& [name, value] : canonical_headers(request, host_header(url))) {
    names.push_back(name);
    headers += name + ":" + value + "\n";
  }
  const std::string signed_names = join(names, ";");
  const std::string canonical = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, url.path.empty() ? "/" : url.path,
                                            canonical_query(url.query), headers, signed_names, payload_hash);
  const std::string place = fmt::format("{}/{}/{}/aws4_request", day, scope.region, scope.service);
  const std::string to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", stamp, place, sha256_hex(canonical));
  std::string key = hmac_sha256("AWS4" + credentials.secret_access_key, day);
  for (std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")}) {
    key = hmac_sha256(key, part);
  }
  request.headers.set("Authorization", fmt::format("AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}",
                                                   credentials.access_key_id, place, signed_names,
                                                   hex_encode(hmac_sha256(key, to_sign))));
  return ok();
}

}  // namespace kiln::remotecache
