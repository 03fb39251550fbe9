#include "remotecache/gha_client.h"

#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/text.h"
#include "base/value.h"
#include "remotecache/azure_sign.h"
#include "remotecache/azure_upload.h"
#include "remotecache/target.h"

namespace kiln::remotecache {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kChunkMax = 32ull << 20;
constexpr Duration kBlockedMax = std::chrono::seconds(15);
constexpr Duration kBlockedPause = std::chrono::seconds(2);
constexpr int kNumbersMax = 1 << 30;

// Keys of one version of the protocol of this cache; the same that other builders use.
const std::string& cache_version() {
  static const std::string kVersion(Digest::of("|go-actionscache-1.0").hex());
  return kVersion;
}

std::string text_of(const Json& json, const char* key) {
  auto it = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

bool is_true(const Json& json, const char* key) { return json.is_object() && json.value(key, Json()) == Json(true); }

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json parse(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return Json::parse(text, nullptr, false);
}

bool says_exists(const HttpAnswer& answer) {
  const Json json = parse(answer.body);
  return text_of(json, "typeKey").find("AlreadyExists") != std::string::npos ||
         text_of(json, "code") == "already_exists" ||
         to_lower(text_of(json, "message")).find("already exists") != std::string::npos;
}

Status refused_by_github(const std::string& what, const HttpAnswer& answer) {
  if (says_exists(answer)) return peer_error(Code::kAlreadyExists, what + ": the key exists already");
  const Json json = parse(answer.body);
  HttpAnswer told = answer;
  for (const char* key : {"msg", "message"}) {
    if (std::string text = text_of(json, key); !text.empty()) told.body = text;
  }
  return refused(what, told);
}

}  // namespace

GhaBlob gha_blob(std::string text) {
  const std::uint64_t size = text.size();
  return {[text = std::move(text)](std::uint64_t offset) -> Result<std::unique_ptr<ByteSource>> {
            return std::make_unique<StringSource>(text.substr(static_cast<std::size_t>(offset)));
          },
          size};
}

Result<GhaOptions> GhaOptions::read(const Attrs& attrs) {
  const auto bad = [](const std::string& what) { return user_error(Code::kInvalidArgument, what); };
  GhaOptions out;
  if (attrs.contains("scope")) out.scope = attribute(attrs, "scope");
  out.token = attribute(attrs, "token");
  if (!attrs.contains("token")) return bad("token not set for github actions cache");
  out.version = 0;
  if (const std::string version = attribute(attrs, "version"); attrs.contains("version")) {
    auto number = parse_integer(version);
    if (!number) return bad(fmt::format("failed to parse api version \"{}\", expected positive integer", version));
    out.version = static_cast<int>(*number);
  }
  if (out.version != 1 && attrs.contains("url_v2")) {
    out.url = attribute(attrs, "url_v2");
    out.version = 2;
  }
  if (out.url.empty()) out.url = attribute(attrs, "url");
  if (out.url.empty()) return bad("url not set for github actions cache");
  if (auto url = registry::parse_url(out.url); !url.ok())
    return annotate(url.status(), "url of the github actions cache");
  if (out.version == 0) {
    out.version = out.url.find("results-receiver.actions.githubusercontent.com") != std::string::npos ? 2 : 1;
  }
  while (out.url.ends_with('/')) out.url.pop_back();
  if (attrs.contains("timeout")) {
    auto timeout = parse_duration(attribute(attrs, "timeout"));
    if (!timeout.ok()) return annotate(timeout.status(), "failed to parse timeout for github actions cache");
    out.timeout = *timeout;
  }
  out.repository = attribute(attrs, "repository");
  out.github_token = attribute(attrs, "ghtoken");
  return out;
}

GhaClient::GhaClient(GhaOptions options, StoreServices services)
    : options_(std::move(options)),
      services_(std::move(services)),
      http_(*services_.http, {.attempts_max = 0,
                              .deadline = options_.timeout,
                              .first_pause = std::chrono::seconds(1),
                              .longest_pause = std::chrono::seconds(90),
                              .only_when_told = true}),
      transfers_(*services_.http,
                 {.attempts_max = 5, .deadline = options_.timeout, .first_pause = std::chrono::seconds(1)}) {}

HttpCall GhaClient::call_to(std::string method, const std::string& path) const {
  HttpCall out;
  out.method = std::move(method);
  const bool second = options_.version > 1;
  out.url =
      options_.url + (second ? "/twirp/github.actions.results.api.v1.CacheService/" : "/_apis/artifactcache/") + path;
  out.headers.set("Authorization", "Bearer " + options_.token);
  if (!second) out.headers.set("Accept", "application/json;api-version=6.0-preview.1");
  return out;
}

Result<HttpAnswer> GhaClient::ask(std::string method, const std::string& path, std::string body,
                                  std::stop_token stop) const {
  HttpCall call = call_to(std::move(method), path);
  call.text = std::move(body);
  if (!call.text.empty()) call.headers.set("Content-Type", "application/json");
  return http_.call(call, stop);
}

Result<std::optional<GhaEntry>> GhaClient::load(const std::string& key, std::stop_token stop) const {
  const std::string what = "look for '" + key + "' in the github actions cache";
  if (options_.version > 1) {
    const Json question = {{"key", key}, {"restore_keys", Json::array({key})}, {"version", cache_version()}};
    KILN_ASSIGN_OR_RETURN(HttpAnswer answer, ask("POST", "GetCacheEntryDownloadURL", text(question), stop));
    if (!answer.good()) return refused_by_github(what, answer);
    const Json json = parse(answer.body);
    if (!is_true(json, "ok")) return std::nullopt;
    return GhaEntry{text_of(json, "matched_key"), text_of(json, "signed_download_url")};
  }
  KILN_ASSIGN_OR_RETURN(
      HttpAnswer answer,
      ask("GET", fmt::format("cache?keys={}&version={}", registry::url_encode(key), cache_version()), "", stop));
  if (!answer.good()) return refused_by_github(what, answer);
  const Json json = parse(answer.body);
  GhaEntry entry{text_of(json, "cacheKey"), text_of(json, "archiveLocation")};
  if (entry.key.empty()) return std::nullopt;
  return entry;
}

Result<std::unique_ptr<ByteSource>> GhaClient::read(const std::string& key, std::uint64_t offset,
                                                    std::stop_token stop) const {
  // A signed URL may end before it is used: it is asked for again, once.
  for (int attempt = 0;; ++attempt) {
    KILN_ASSIGN_OR_RETURN(auto entry, load(key, stop));
    if (!entry) return peer_error(Code::kNotFound, "'" + key + "' is not in the github actions cache");
    HttpCall call;
    call.url = entry->url;
    if (offset > 0) call.headers.set("Range", fmt::format("bytes={}-", offset));
    KILN_ASSIGN_OR_RETURN(auto response, transfers_.open(call, stop));
    if (response->status == (offset > 0 ? 206 : 200)) return std::unique_ptr<ByteSource>(std::move(response));
    HttpAnswer answer{response->status, response->headers, ""};
    KILN_ASSIGN_OR_RETURN(answer.body, read_all(*response, 1 << 20));
    const bool ended = answer.status == 401 || answer.status == 403;
    if (!ended || attempt > 0) return refused("read '" + key + "' from the github actions cache", answer);
  }
}

Result<GhaClient::Place> GhaClient::reserve(const std::string& key, std::stop_token stop) const {
  const std::string what = "reserve '" + key + "' in the github actions cache";
  const Json question = {{"key", key}, {"version", cache_version()}};
  const bool second = options_.version > 1;
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, ask("POST", second ? "CreateCacheEntry" : "caches", text(question), stop));
  if (!answer.good()) return refused_by_github(what, answer);
  const Json json = parse(answer.body);
  Place out;
  if (second) {
    out.url = text_of(json, "signed_upload_url");
    if (!is_true(json, "ok") || out.url.empty()) return refused_by_github(what, answer);
    return out;
  }
  for (const char* name : {"cacheId", "cacheID"}) {
    if (json.is_object() && json.contains(name) && json[name].is_number_integer())
      out.id = std::to_string(json[name].get<std::int64_t>());
  }
  if (out.id.empty() || out.id == "0") return refused_by_github(what, answer);
  return out;
}

Status GhaClient::upload(const Place& place, const GhaBlob& blob, std::stop_token stop) const {
  if (!place.url.empty()) {
    return upload_azure_blob(
        transfers_, {.url = place.url, .open = blob.open, .size = blob.size, .overwrite = Overwrite::kYes, .sign = {}},
        stop);
  }
  for (std::uint64_t at = 0; at < blob.size; at += kChunkMax) {
    const std::uint64_t size = std::min(kChunkMax, blob.size - at);
    HttpCall call = call_to("PATCH", "caches/" + place.id);
    call.headers.set("Content-Type", "application/octet-stream");
    call.headers.set("Content-Range", fmt::format("bytes {}-{}/*", at, at + size - 1));
    call.open = [&blob, at, size]() -> Result<std::unique_ptr<ByteSource>> {
      KILN_ASSIGN_OR_RETURN(auto source, blob.open(at));
      return limited(std::move(source), size);
    };
    call.bytes = size;
    KILN_ASSIGN_OR_RETURN(HttpAnswer answer, transfers_.call(call, stop));
    if (!answer.good()) return refused_by_github("upload to the github actions cache", answer);
  }
  return ok();
}

Status GhaClient::commit(const std::string& key, const Place& place, std::uint64_t size, std::stop_token stop) const {
  const std::string what = "commit '" + key + "' to the github actions cache";
  if (place.url.empty()) {
    KILN_ASSIGN_OR_RETURN(HttpAnswer answer,
                          ask("POST", "caches/" + place.id, text(Json::object({{"size", size}})), stop));
    return answer.good() ? ok() : refused_by_github(what, answer);
  }
  const Json question = {{"key", key}, {"size_bytes", size}, {"version", cache_version()}};
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, ask("POST", "FinalizeCacheEntryUpload", text(question), stop));
  if (!answer.good() || !is_true(parse(answer.body), "ok")) return refused_by_github(what, answer);
  return ok();
}

Status GhaClient::save(const std::string& key, const GhaBlob& blob, std::stop_token stop) const {
  KILN_ASSIGN_OR_RETURN(Place place, reserve(key, stop));
  KILN_RETURN_IF_ERROR(upload(place, blob, stop));
  return commit(key, place, blob.size, stop);
}

// 0 when there is none yet.
Result<int> GhaClient::newest_number(const std::string& key, std::stop_token stop) const {
  KILN_ASSIGN_OR_RETURN(auto entry, load(key + "#", stop));
  if (!entry) return 0;
  std::string_view number = entry->key;
  if (!number.starts_with(key + "#"))
    return peer_error(Code::kFailedPrecondition, "the cache answered with another key");
  auto value = parse_unsigned(number.substr(key.size() + 1), 10, kNumbersMax);
  if (!value) return peer_error(Code::kFailedPrecondition, fmt::format("failed to parse {} index", key));
  return static_cast<int>(*value);
}

Status GhaClient::save_mutable(const std::string& key, const GhaBlob& blob, std::stop_token stop) const {
  Duration blocked{};
  KILN_ASSIGN_OR_RETURN(int number, newest_number(key, stop));
  for (;;) {
    const std::string name = fmt::format("{}#{}", key, ++number);
    auto place = reserve(name, stop);
    if (place.ok()) {
      KILN_RETURN_IF_ERROR(upload(*place, blob, stop));
      return commit(name, *place, blob.size, stop);
    }
    if (!absl::IsAlreadyExists(place.status())) return place.status();
    // Somebody is saving it, or died while doing so: after a while it is passed over.
    if (blocked > kBlockedMax) continue;
    blocked += kBlockedPause;
    KILN_RETURN_IF_ERROR(wait_for(stop, kBlockedPause));
    KILN_ASSIGN_OR_RETURN(number, newest_number(key, stop));
  }
}

Result<std::set<std::string>> GhaClient::keys(const std::string& prefix, const std::vector<GhaScope>& scopes,
                                              std::stop_token stop) const {
  constexpr int kPageSize = 100;
  const std::string api = services_.environment("GITHUB_API_URL").value_or("https://api.github.com");
  std::set<std::string> out;
  for (const GhaScope& scope : scopes) {
    for (int page = 1, total = kPageSize; (page - 1) * kPageSize < total; ++page) {
      HttpCall call;
      call.url = fmt::format("{}/repos/{}/actions/caches?per_page={}&page={}&key={}&ref={}", api, options_.repository,
                             kPageSize, page, registry::url_encode(prefix), registry::url_encode(scope.scope));
      call.headers = {{"Accept", "application/vnd.github+json"},
                      {"Authorization", "Bearer " + options_.github_token},
                      {"X-GitHub-Api-Version", "2022-11-28"}};
      KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
      if (!answer.good()) return refused_by_github("list the keys of '" + options_.repository + "'", answer);
      const Json json = parse(answer.body);
      if (!json.is_object()) break;
      auto count = json.find("total_count");
      total = count != json.end() && count->is_number_integer() ? count->get<int>() : 0;
      for (const Json& entry : json.value("actions_caches", Json::array())) out.insert(text_of(entry, "key"));
    }
  }
  return out;
}

}  // namespace kiln::remotecache
