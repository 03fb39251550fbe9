#include "source/http_source.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "content/json_text.h"
#include "graph/attributes.h"
#include "host/fd.h"
#include "host/fs.h"
#include "session/secrets.h"
#include "session/upload.h"
#include "source/signature.h"
#include "source/single_file.h"

namespace kiln::source {
namespace {

constexpr const char* kEtag = "etag";
constexpr const char* kChecksum = "http.checksum";
constexpr const char* kModTime = "http.modtime";
constexpr std::string_view kSessionHost = "buildkit-session";
constexpr std::size_t kSuffixMax = 4 * 1024;

// Weak and strong tags count as the same.
std::string etag_of(std::string_view header) {
  header = trim(header);
  if (header.starts_with("W/")) header.remove_prefix(2);
  return std::string(header);
}

// RFC 6266: filename*=UTF-8''… or filename=…
std::string disposition_name(std::string_view header) {
  std::string plain;
  for (std::size_t at = header.find(';'); at != std::string_view::npos;) {
    std::size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) break;
    std::string name = to_lower(trim(header.substr(at + 1, equals - at - 1)));
    std::string value;
    std::size_t i = equals + 1;
    if (i < header.size() && header[i] == '"') {
      for (++i; i < header.size() && header[i] != '"'; ++i) {
        if (header[i] == '\\' && i + 1 < header.size()) ++i;
        value += header[i];
      }
      at = header.find(';', i);
    } else {
      at = header.find(';', i);
      value = std::string(trim(header.substr(i, at == std::string_view::npos ? at : at - i)));
    }
    if (name == "filename") plain = value;
    if (name == "filename*") {
      auto quote = value.find("''");
      Result<std::string> decoded = registry::url_decode(quote == std::string::npos ? value : value.substr(quote + 2));
      if (decoded.ok() && !decoded->empty()) return *decoded;
    }
  }
  return plain;
}

std::string file_name(const HttpWish& wish, const registry::Response* response) {
  if (!wish.filename.empty()) return safe_file_name(wish.filename);
  if (response != nullptr) {
    std::string name = disposition_name(response->headers.get("Content-Disposition"));
    if (!name.empty() && !name.ends_with('/')) return safe_file_name(name);
  }
  if (Result<registry::Url> url = registry::parse_url(wish.url); url.ok()) {
    Result<std::string> path = registry::url_decode(url->path);
    return safe_file_name(path.ok() ? *path : url->path);
  }
  return safe_file_name("");
}

// Names the URL with everything that shapes the tree; never leaves this daemon.
std::string url_key_of(const HttpWish& wish) {
  std::string text = fmt::format("{}\n{}\n{} {} {}\n{}", wish.url, wish.filename, wish.perm, wish.uid, wish.gid,
                                 wish.auth_header_secret);
  for (const auto& [name, value] : wish.headers) text += "\n" + name + ":" + value;
  return "http.url:" + Digest::of(text).str();
}

Status check_digest(const HttpWish& wish, const Digest& got) {
  if (wish.checksum.empty() || wish.checksum == got) return ok();
  return user_error(Code::kFailedPrecondition,
                    fmt::format("digest mismatch for {}: {} (expected: {})", wish.url, got.str(), wish.checksum.str()));
}

Result<registry::Headers> request_headers(const HttpWish& wish, const Asker& asker) {
  registry::Headers headers;
  for (const auto& [name, value] : wish.headers) headers.set(name, value);
  auto secrets = session::secret_asker(asker.sessions);
  if (!wish.auth_header_secret.empty()) {
    KILN_ASSIGN_OR_RETURN(auto value, secrets->get_secret(wish.auth_header_secret, asker.stop));
    if (!value) {
      return user_error(Code::kNotFound, fmt::format("failed to retrieve HTTP auth secret {}: secret {}: not found",
                                                     wish.auth_header_secret, wish.auth_header_secret));
    }
    headers.set("Authorization", *value);
    return headers;
  }
  KILN_ASSIGN_OR_RETURN(registry::Url url, registry::parse_url(wish.url));
  for (bool token : {false, true}) {
    Result<std::optional<std::string>> value =
        secrets->get_secret((token ? "HTTP_AUTH_TOKEN_" : "HTTP_AUTH_HEADER_") + url.host, asker.stop);
    if (is_cancelled(value.status())) return value.status();
    // Optional: a client without secrets is no error.
    if (value.ok() && *value) headers.set("Authorization", token ? "Bearer " + **value : **value);
  }
  return headers;
}

class HttpFetch final : public Fetch {
 public:
  HttpFetch(std::shared_ptr<HttpSource> source, HttpWish wish) : source_(std::move(source)), wish_(std::move(wish)) {}

  Result<Key> key(int, const Asker& asker) override {
    if (!found_) {
      if (!wish_.checksum.empty()) {
        found_ =
            HttpFound{.digest = wish_.checksum, .filename = file_name(wish_, nullptr), .last_modified = {}, .tree = {}};
      } else {
        KILN_ASSIGN_OR_RETURN(found_, source_->find(wish_, asker));
      }
    }
    if (!wish_.signature.empty() && !verified_) {
      if (!found_->tree) {
        KILN_ASSIGN_OR_RETURN(found_, source_->find(wish_, asker));
      }
      KILN_RETURN_IF_ERROR(source_->verify(wish_, *found_, asker));
      verified_ = true;
    }
    return Key{.text = http_key(wish_, *found_), .last = true, .pin = found_->digest.str()};
  }

  Result<store::TreeRef> tree(const Asker& asker) override {
    if (found_ && found_->tree) return found_->tree;
    KILN_ASSIGN_OR_RETURN(HttpFound found, source_->find(wish_, asker));
    return found.tree;
  }

 private:
  std::shared_ptr<HttpSource> source_;
  HttpWish wish_;
  std::optional<HttpFound> found_;
  bool verified_ = false;
};

}  // namespace

Result<HttpWish> read_http_wish(const graph::SourceOp& op) {
  HttpWish wish{.url = op.identifier};
  KILN_RETURN_IF_ERROR(registry::parse_url(wish.url).status());
  for (const auto& [name, value] : op.attrs) {
    if (name == graph::kAttrHttpChecksum) {
      KILN_ASSIGN_OR_RETURN(wish.checksum, Digest::parse(value));
    } else if (name == graph::kAttrHttpFilename) {
      wish.filename = value;
    } else if (name == graph::kAttrHttpPerm) {
      KILN_ASSIGN_OR_RETURN(wish.perm, parse_number(value));
    } else if (name == graph::kAttrHttpUid) {
      KILN_ASSIGN_OR_RETURN(wish.uid, parse_number(value));
    } else if (name == graph::kAttrHttpGid) {
      KILN_ASSIGN_OR_RETURN(wish.gid, parse_number(value));
    } else if (name == graph::kAttrHttpAuthHeaderSecret) {
      wish.auth_header_secret = value;
    } else if (name == graph::kAttrHttpSigPubKey || name == graph::kAttrHttpSigSignature) {
      (name == graph::kAttrHttpSigPubKey ? wish.signature_keys : wish.signature) = value;
    } else if (name == std::string(graph::kAttrHttpHeaderPrefix) + "accept") {
      wish.headers.emplace_back("Accept", value);
    } else if (name == std::string(graph::kAttrHttpHeaderPrefix) + "user-agent") {
      wish.headers.emplace_back("User-Agent", value);
    }
  }
  std::sort(wish.headers.begin(), wish.headers.end());
  if (wish.signature.empty() != wish.signature_keys.empty()) {
    return user_error(Code::kInvalidArgument, "http signature verification requires both pubkey and signature");
  }
  return wish;
}

std::string http_key(const HttpWish& wish, const HttpFound& found) {
  content::JsonWriter json;
  json.begin_object();
  json.key("Filename");
  json.string(found.filename);
  json.key("Perm");
  json.integer(wish.perm);
  json.key("UID");
  json.integer(wish.uid);
  json.key("GID");
  json.integer(wish.gid);
  json.key("Checksum");
  json.string(found.digest.str());
  if (found.last_modified) json.string_if("LastModTime", format_http_time(*found.last_modified));
  json.string_if("AuthHeaderSecret", wish.auth_header_secret);
  if (!wish.headers.empty()) {
    json.key("Header");
    json.begin_array();
    for (const auto& [name, value] : wish.headers) {
      json.begin_object();
      json.key("Name");
      json.string(name);
      json.key("Value");
      json.string(value);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  return Digest::of(json.take()).str();
}

Result<std::unique_ptr<Fetch>> HttpSource::open(const graph::SourceOp& op, const std::optional<Platform>&) {
  KILN_ASSIGN_OR_RETURN(HttpWish wish, read_http_wish(op));
  return std::unique_ptr<Fetch>(std::make_unique<HttpFetch>(shared_from_this(), std::move(wish)));
}

Result<HttpFound> HttpSource::find(const HttpWish& wish, const Asker& asker) {
  const std::string key = url_key_of(wish);
  if (auto seen = seen_.find(asker.sessions, key)) {
    KILN_RETURN_IF_ERROR(check_digest(wish, seen->digest));
    return *std::move(seen);
  }
  Result<HttpFound> found = finding_.run(key + wish.checksum.str(), asker.stop, [&] { return find_now(wish, asker); });
  if (!found.ok()) return found;
  seen_.keep(asker, key, *found);
  KILN_RETURN_IF_ERROR(check_digest(wish, found->digest));
  return found;
}

Result<HttpFound> HttpSource::find_now(const HttpWish& wish, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(registry::Url url, registry::parse_url(wish.url));
  if (url.host == kSessionHost) return receive_upload(wish, asker);
  std::string url_key = url_key_of(wish);
  KILN_ASSIGN_OR_RETURN(registry::Headers headers, request_headers(wish, asker));
  std::vector<std::string> etags;
  KILN_ASSIGN_OR_RETURN(std::optional<HttpFound> same, unchanged(wish, url_key, headers, etags, asker));
  if (same) return *std::move(same);
  registry::Request request{.method = "GET", .url = wish.url, .headers = headers, .accept_gzip = true};
  KILN_ASSIGN_OR_RETURN(auto response, options_.http->send(request, asker.stop));
  if (response->status < 200 || response->status >= 300) {
    return user_error(Code::kFailedPrecondition,
                      fmt::format("{}: invalid response status {}", wish.url, response->status));
  }
  return download(wish, url_key, *response, asker);
}

// With trees of that URL in hand, a HEAD tells whether one of them still is what the server has:
// some servers know ETags but not If-None-Match. Nothing when there is no such tree.
Result<std::optional<HttpFound>> HttpSource::unchanged(const HttpWish& wish, const std::string& url_key,
                                                       const registry::Headers& headers,
                                                       std::vector<std::string>& etags, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> ids, options_.trees->find_by_index(url_key));
  std::map<std::string, std::string> tree_by_etag;
  for (const std::string& id : ids) {
    KILN_ASSIGN_OR_RETURN(auto checksum, options_.trees->attribute(id, kChecksum));
    if (!checksum) continue;
    if (!wish.checksum.empty() && *checksum == wish.checksum.str()) {
      // The very bytes are here; the server need not be asked.
      KILN_ASSIGN_OR_RETURN(auto tree, options_.trees->find(id));
      if (tree)
        return std::optional(HttpFound{
            .digest = wish.checksum, .filename = file_name(wish, nullptr), .last_modified = {}, .tree = *tree});
    }
    KILN_ASSIGN_OR_RETURN(auto etag, options_.trees->attribute(id, kEtag));
    if (etag && !etag->empty() && tree_by_etag.try_emplace(*etag, id).second) etags.push_back(*etag);
  }
  if (tree_by_etag.empty()) return std::optional<HttpFound>();
  // Some servers tag what they compress differently, so both requests offer the same.
  registry::Request request{.method = "HEAD", .url = wish.url, .headers = headers, .accept_gzip = true};
  request.headers.set("If-None-Match", join(etags, ", "));
  Result<std::unique_ptr<registry::Response>> response = options_.http->send(request, asker.stop);
  if (!response.ok()) {
    if (is_cancelled(response.status())) return response.status();
    return std::optional<HttpFound>();  // the GET will tell what is wrong
  }
  int status = (*response)->status;
  if (status != 200 && status != 304) return std::optional<HttpFound>();
  std::string etag = etag_of((*response)->headers.get("ETag"));
  if (etag.empty() && status == 304 && etags.size() == 1) etag = etags.front();
  auto found = tree_by_etag.find(etag);
  if (found == tree_by_etag.end()) return std::optional<HttpFound>();
  Result<HttpFound> same = held(wish, found->second, **response);
  if (is_not_found(same.status())) return std::optional<HttpFound>();
  if (!same.ok()) return same.status();
  return std::optional(*std::move(same));
}

Result<HttpFound> HttpSource::held(const HttpWish& wish, const std::string& tree_id,
                                   const registry::Response& response) {
  KILN_ASSIGN_OR_RETURN(auto tree, options_.trees->find(tree_id));
  KILN_ASSIGN_OR_RETURN(auto checksum, options_.trees->attribute(tree_id, kChecksum));
  if (!tree || !checksum) return environment_error(Code::kNotFound, "tree is gone");
  KILN_ASSIGN_OR_RETURN(auto modified, options_.trees->attribute(tree_id, kModTime));
  HttpFound found{
      .digest = Digest::trusted(*checksum), .filename = file_name(wish, &response), .last_modified = {}, .tree = *tree};
  if (modified) found.last_modified = parse_http_time(*modified);
  return found;
}

Result<HttpFound> HttpSource::download(const HttpWish& wish, const std::string& url_key, registry::Response& response,
                                       const Asker& asker) {
  HttpFound found;
  found.filename = file_name(wish, &response);
  std::string modified(response.headers.get("Last-Modified"));
  found.last_modified = parse_http_time(modified);
  event::Phase phase(asker.reporter, "downloading " + found.filename,
                     static_cast<std::int64_t>(response.content_length().value_or(0)));
  FileWish file{
      .name = found.filename, .perm = wish.perm, .uid = wish.uid, .gid = wish.gid, .mtime = found.last_modified};
  KILN_ASSIGN_OR_RETURN(SavedFile saved,
                        save_file(*options_.trees, response, file, {.description = "http url " + wish.url}, asker.stop,
                                  [&](std::uint64_t bytes) { phase.advance_to(static_cast<std::int64_t>(bytes)); }));
  found.digest = saved.digest;
  found.tree = saved.tree;
  store::Trees& trees = *options_.trees;
  std::string etag = etag_of(response.headers.get("ETag"));
  if (!etag.empty()) KILN_RETURN_IF_ERROR(trees.set_attribute(found.tree, kEtag, etag));
  KILN_RETURN_IF_ERROR(trees.set_attribute(found.tree, kChecksum, found.digest.str(), url_key));
  if (found.last_modified) KILN_RETURN_IF_ERROR(trees.set_attribute(found.tree, kModTime, modified));
  return found;
}

Result<HttpFound> HttpSource::receive_upload(const HttpWish& wish, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(auto body, session::pull_upload(asker.sessions, wish.url, asker.stop));
  HttpFound found;
  found.filename = file_name(wish, nullptr);
  FileWish file{.name = found.filename, .perm = wish.perm, .uid = wish.uid, .gid = wish.gid, .mtime = {}};
  KILN_ASSIGN_OR_RETURN(SavedFile saved,
                        save_file(*options_.trees, *body, file, {.description = "http url " + wish.url}, asker.stop));
  found.digest = saved.digest;
  found.tree = saved.tree;
  return found;
}

Status HttpSource::verify(const HttpWish& wish, const HttpFound& found, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(store::OpenTree open, options_.trees->open(found.tree, asker.stop));
  KILN_ASSIGN_OR_RETURN(host::Fd file, host::open_in_root(open.root.get(), found.filename, O_RDONLY));
  const std::string path = host::fd_path(file.get());
  Status status = verify_signature({.data = path, .signature = wish.signature, .keys = wish.signature_keys}, asker.stop,
                                   ExpiredKeys::kAllow, SignatureKinds::kPgp);
  return status.ok() || is_cancelled(status) ? status : annotate(status, "failed to verify pgp signature");
}

Result<HttpMeta> HttpSource::meta(const graph::SourceOp& op, const MetaOptions& options, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(HttpWish wish, read_http_wish(op));
  HttpFound found{.digest = wish.checksum, .filename = file_name(wish, nullptr), .last_modified = {}, .tree = {}};
  if (wish.checksum.empty() || options.http_checksum || !wish.signature.empty()) {
    KILN_ASSIGN_OR_RETURN(found, find(wish, asker));
  }
  if (!wish.signature.empty()) KILN_RETURN_IF_ERROR(verify(wish, found, asker));
  HttpMeta meta{.checksum = found.digest,
                .filename = found.filename,
                .last_modified = found.last_modified,
                .checksum_response = {}};
  if (!options.http_checksum) return meta;
  static constexpr std::string_view kAlgorithms[] = {"sha256", "sha384", "sha512"};
  const auto& [algorithm, suffix] = *options.http_checksum;
  if (algorithm < 0 || algorithm > 2) {
    return user_error(Code::kInvalidArgument, fmt::format("unsupported checksum algorithm {}", algorithm));
  }
  if (suffix.size() > kSuffixMax) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("http checksum request suffix exceeds max size {}", kSuffixMax));
  }
  KILN_ASSIGN_OR_RETURN(store::OpenTree open, options_.trees->open(found.tree, asker.stop));
  KILN_ASSIGN_OR_RETURN(host::Fd file, host::open_in_root(open.root.get(), found.filename, O_RDONLY));
  Hasher hasher(kAlgorithms[algorithm]);
  std::string buffer(kChunkBytes, '\0');
  while (true) {
    if (asker.stop.stop_requested()) return cancelled();
    ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return errno_error(errno, "read '" + found.filename + "'");
    if (got == 0) break;
    hasher.update(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
  hasher.update(suffix);
  meta.checksum_response = std::pair(hasher.finish().str(), suffix);
  return meta;
}

}  // namespace kiln::source
