#include "remotecache/s3_client.h"

#include "base/digest.h"
#include "base/text.h"
#include "base/timestamp.h"
#include "base/value.h"

namespace kiln::remotecache {
namespace {

constexpr std::uint64_t kSinglePutMax = 64ull << 20;
constexpr std::uint64_t kPartBytes = 32ull << 20;
constexpr std::uint64_t kPartsMax = 10'000;
constexpr std::uint64_t kCopyMax = 5ull << 30;  // what S3 copies in one request

std::string sha256_of(std::string_view text) { return std::string(Digest::of(text).hex()); }

std::optional<AwsCredentials> given_keys(const S3Options& options) {
  if (options.access_key_id.empty() || options.secret_access_key.empty()) return std::nullopt;
  return AwsCredentials{options.access_key_id, options.secret_access_key, options.session_token, std::nullopt};
}

// "Sat, 28 Nov 2026 00:00:00 GMT".
std::optional<Time> http_date(std::string_view text) {
  std::tm tm{};
  const std::string copy(text);
  if (::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm) == nullptr) return std::nullopt;
  return timestamp(::timegm(&tm));
}

// Hash of what a source gives to its end.
Result<std::string> hash_of(ByteSource& source) {
  Hasher hasher;
  std::string buffer(kChunkBytes, '\0');
  for (;;) {
    KILN_ASSIGN_OR_RETURN(std::size_t count, source.read(buffer));
    if (count == 0) return std::string(hasher.finish().hex());
    hasher.update(std::string_view(buffer).substr(0, count));
  }
}

}  // namespace

S3Client::S3Client(const S3Options& options, StoreServices services)
    : options_(options),
      services_(std::move(services)),
      http_(*services_.http, {.attempts_max = options.attempts_max}),
      identity_(std::make_unique<AwsIdentity>(given_keys(options), services_, options.region)) {}

std::string S3Client::url_of(const std::string& key, const std::string& query) const {
  std::string base = options_.endpoint_url;
  bool path_style = options_.use_path_style;
  if (base.empty()) {
    base =
        fmt::format("https://s3.{}.amazonaws.com{}", options_.region, options_.region.starts_with("cn-") ? ".cn" : "");
    path_style = options_.bucket.find('.') != std::string::npos;  // certificates know one label only
  }
  while (base.ends_with('/')) base.pop_back();
  if (path_style) {
    base += "/" + registry::url_encode(options_.bucket);
  } else {
    base.insert(base.find("://") + 3, options_.bucket + ".");
  }
  return base + "/" + encode_path(key) + (query.empty() ? "" : "?" + query);
}

HttpCall S3Client::signed_call(std::string method, std::string url, std::string payload_hash,
                               std::stop_token stop) const {
  HttpCall call;
  call.method = std::move(method);
  call.url = std::move(url);
  call.sign = [this, payload_hash = std::move(payload_hash), stop](registry::Request& request) -> Status {
    KILN_ASSIGN_OR_RETURN(AwsCredentials keys, identity_->get(stop));
    return sign_aws(request, keys, {options_.region, "s3"}, payload_hash, services_.clock->now());
  };
  return call;
}

Result<std::optional<S3Object>> S3Client::head(const std::string& key, std::stop_token stop) const {
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(signed_call("HEAD", url_of(key), sha256_of(""), stop), stop));
  if (answer.status == 404) return std::nullopt;
  if (!answer.good()) return refused(fmt::format("look for '{}' in bucket '{}'", key, options_.bucket), answer);
  S3Object out;
  out.size = parse_integer(answer.headers.get("Content-Length")).value_or(0);
  out.modified = http_date(answer.headers.get("Last-Modified"));
  return out;
}

Result<std::unique_ptr<ByteSource>> S3Client::get(const std::string& key, std::uint64_t offset,
                                                  std::stop_token stop) const {
  HttpCall call = signed_call("GET", url_of(key), sha256_of(""), stop);
  if (offset > 0) call.headers.set("Range", fmt::format("bytes={}-", offset));
  KILN_ASSIGN_OR_RETURN(auto response, http_.open(call, stop));
  const bool good = response->status == 200 || response->status == 206;
  if (!good) {
    HttpAnswer answer{response->status, response->headers, ""};
    KILN_ASSIGN_OR_RETURN(answer.body, read_all(*response, 1 << 20));
    return refused(fmt::format("get '{}' from bucket '{}'", key, options_.bucket), answer);
  }
  if (offset > 0 && response->status != 206) {
    return peer_error(Code::kUnimplemented, "the S3 service does not give parts of objects");
  }
  return std::unique_ptr<ByteSource>(std::move(response));
}

Status S3Client::put(const std::string& key, std::string_view bytes, std::stop_token stop) const {
  HttpCall call = signed_call("PUT", url_of(key), sha256_of(bytes), stop);
  call.text = bytes;
  call.headers.set("Content-Type", "application/octet-stream");
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
  return answer.good() ? ok() : refused(fmt::format("put '{}' into bucket '{}'", key, options_.bucket), answer);
}

Status S3Client::put(const std::string& key, const ByteOpener& open, std::uint64_t size, std::string_view sha256,
                     std::stop_token stop) const {
  if (size > kSinglePutMax) {
    const std::uint64_t part_size = std::max(kPartBytes, (size + kPartsMax - 1) / kPartsMax);
    return multipart(
        key, size, part_size,
        [&](const std::string& upload, const Part& part) { return send_part(key, open, upload, part, stop); }, stop);
  }
  HttpCall call = signed_call("PUT", url_of(key), std::string(sha256), stop);
  call.open = [&] { return open(0); };
  call.bytes = size;
  call.headers.set("Content-Type", "application/octet-stream");
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
  return answer.good() ? ok() : refused(fmt::format("put '{}' into bucket '{}'", key, options_.bucket), answer);
}

Result<std::string> S3Client::send_part(const std::string& key, const ByteOpener& open, const std::string& upload,
                                        const Part& part, std::stop_token stop) const {
  auto open_part = [&]() -> Result<std::unique_ptr<ByteSource>> {
    KILN_ASSIGN_OR_RETURN(auto source, open(part.offset));
    return limited(std::move(source), part.size);
  };
  const std::string url =
      url_of(key, fmt::format("partNumber={}&uploadId={}", part.number, registry::url_encode(upload)));
  std::string hash(kUnsignedPayload);
  if (!url.starts_with("https:")) {
    KILN_ASSIGN_OR_RETURN(auto source, open_part());
    KILN_ASSIGN_OR_RETURN(hash, hash_of(*source));
  }
  HttpCall call = signed_call("PUT", url, hash, stop);
  call.open = open_part;
  call.bytes = part.size;
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
  if (!answer.good())
    return refused(fmt::format("put part {} of '{}' into bucket '{}'", part.number, key, options_.bucket), answer);
  return std::string(answer.headers.get("ETag"));
}

Status S3Client::multipart(const std::string& key, std::uint64_t size, std::uint64_t part_size, const SendPart& send,
                           std::stop_token stop) const {
  const std::string what = fmt::format("put '{}' in parts into bucket '{}'", key, options_.bucket);
  KILN_ASSIGN_OR_RETURN(HttpAnswer begun,
                        http_.call(signed_call("POST", url_of(key, "uploads="), sha256_of(""), stop), stop));
  const std::string upload = xml_text(begun.body, "UploadId");
  if (!begun.good() || upload.empty()) return refused(what, begun);
  std::string list = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  Status status;
  int number = 1;
  for (std::uint64_t at = 0; at < size && status.ok(); at += part_size, ++number) {
    auto tag = send(upload, {number, at, std::min(part_size, size - at)});
    status = tag.status();
    if (tag.ok()) list += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", number, *tag);
  }
  if (status.ok()) status = finish_parts(key, upload, list + "</CompleteMultipartUpload>", stop).status();
  if (status.ok()) return status;
  // What was sent so far costs money until it is given up, even when the build was cancelled.
  const HttpCall give_up =
      signed_call("DELETE", url_of(key, "uploadId=" + registry::url_encode(upload)), sha256_of(""), {});
  (void)HttpCaller(*services_.http, {.attempts_max = 1}).call(give_up, {});
  return status;
}

Result<std::string> S3Client::finish_parts(const std::string& key, const std::string& upload, const std::string& list,
                                           std::stop_token stop) const {
  HttpCall call = signed_call("POST", url_of(key, "uploadId=" + registry::url_encode(upload)), sha256_of(list), stop);
  call.text = list;
  call.headers.set("Content-Type", "application/xml");
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
  // S3 may find out that it failed after it has sent 200.
  if (!answer.good() || answer.body.find("<Error>") != std::string::npos) {
    return refused(fmt::format("complete '{}' in bucket '{}'", key, options_.bucket), answer);
  }
  return xml_text(answer.body, "ETag");
}

Status S3Client::touch(const std::string& key, std::int64_t size, std::stop_token stop) const {
  const std::string source = encode_path(fmt::format("{}/{}", options_.bucket, key));
  if (static_cast<std::uint64_t>(size) < kCopyMax) {
    HttpCall call = signed_call("PUT", url_of(key), sha256_of(""), stop);
    call.headers.set("x-amz-copy-source", source);
    call.headers.set("x-amz-metadata-directive", "REPLACE");
    call.headers.set("x-amz-meta-updated-at", format_rfc3339(services_.clock->now()));
    KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
    return answer.good() ? ok() : refused(fmt::format("refresh '{}' in bucket '{}'", key, options_.bucket), answer);
  }
  return multipart(
      key, static_cast<std::uint64_t>(size), kCopyMax,
      [&](const std::string& upload, const Part& part) -> Result<std::string> {
        HttpCall call = signed_call(
            "PUT", url_of(key, fmt::format("partNumber={}&uploadId={}", part.number, registry::url_encode(upload))),
            sha256_of(""), stop);
        call.headers.set("x-amz-copy-source", source);
        call.headers.set("x-amz-copy-source-range",
                         fmt::format("bytes={}-{}", part.offset, part.offset + part.size - 1));
        KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call, stop));
        if (!answer.good()) return refused(fmt::format("refresh part {} of '{}'", part.number, key), answer);
        return xml_text(answer.body, "ETag");
      },
      stop);
}

}  // namespace kiln::remotecache
