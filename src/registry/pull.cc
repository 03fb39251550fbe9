#include "registry/pull.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/text.h"

namespace kiln::registry {
namespace {

constexpr std::size_t kManifestMax = 16 << 20;

std::string accept_manifests() {
  using namespace content;
  return fmt::format("{}, {}, {}, {}, */*", kDockerManifest, kDockerManifestList, kOciManifest, kOciIndex);
}

// Asks the endpoints in turn until one has an answer; the origin's error is the one to tell, unless nothing but a
// mirror could be reached and that one knows that there is no such thing.
template <typename T, typename Ask>
Result<T> first_of(std::vector<Endpoint> endpoints, Ask ask) {
  Status error = ok();
  for (Endpoint& at : endpoints) {
    Result<T> got = ask(at);
    if (got.ok() || is_cancelled(got.status())) return got;
    if (at.mirror) log_debug("mirror '{}': {}", at.host, message_of(got.status()));
    if (error.code() != Code::kNotFound || got.status().code() != Code::kUnavailable) error = got.status();
  }
  return error;
}

std::string media_type_of(const Response& response) {
  return std::string(trim(split_once(response.headers.get("Content-Type"), ';').first));
}

// The body says what it is when the header does not.
std::string detect_manifest_type(std::string_view body) {
  if (Result<content::Index> index = content::parse_index(body); index.ok() && !index->manifests.empty()) {
    return index->media_type.empty() ? std::string(content::kOciIndex) : index->media_type;
  }
  if (Result<content::Manifest> manifest = content::parse_manifest(body); manifest.ok()) {
    return manifest->media_type.empty() ? std::string(content::kOciManifest) : manifest->media_type;
  }
  return {};
}

bool names_a_manifest(std::string_view type) { return content::is_manifest_type(type) || content::is_index_type(type); }

Question manifest_question(const Reference& ref, std::string_view method, const std::string& object) {
  Question question;
  question.method = std::string(method);
  question.rest = fmt::format("{}/manifests/{}", ref.path, object);
  question.headers.set("Accept", accept_manifests());
  question.scopes = pull_scope(ref);
  question.lane = HostLimits::Lane::kManifests;
  return question;
}

struct FetchedManifest {
  std::string bytes;
  std::string media_type;
};

Result<FetchedManifest> get_manifest(Exchange& exchange, Endpoint& at, const Reference& ref, const std::string& object,
                                     std::string_view media_type, const Access& access) {
  Question question = manifest_question(ref, "GET", object);
  if (!media_type.empty()) question.headers.set("Accept", fmt::format("{}, */*", media_type));
  for (std::size_t attempt = 0;; ++attempt) {
    KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
    if (answer.response->status != 200) return exchange.refusal(question, *answer.response, ref.str());
    Result<std::string> bytes = read_all(*answer.response, kManifestMax);
    if (bytes.ok()) return FetchedManifest{*std::move(bytes), media_type_of(*answer.response)};
    if (!worth_retrying(bytes.status(), attempt) || at.mirror) return bytes.status();
    answer = {};
    KILN_ASSIGN_OR_RETURN(bool more, exchange.wait_for_retry(attempt, std::nullopt, access.stop));
    if (!more) return bytes.status();
  }
}

Status check_digest(std::string_view bytes, const Digest& expected, std::string_view name) {
  if (expected.empty()) return ok();
  Hasher hasher(expected.algorithm());
  hasher.update(bytes);
  Digest actual = hasher.finish();
  if (actual == expected) return ok();
  return peer_error(Code::kFailedPrecondition, fmt::format("{}: the registry's bytes have digest {}, expected {}", name,
                                                           actual.str(), expected.str()));
}

Result<content::Descriptor> resolve_by_get(Exchange& exchange, Endpoint& at, const Reference& ref,
                                           const Access& access) {
  KILN_ASSIGN_OR_RETURN(FetchedManifest got, get_manifest(exchange, at, ref, ref.object(), "", access));
  KILN_RETURN_IF_ERROR(check_digest(got.bytes, ref.digest, ref.str()));
  content::Descriptor out;
  out.digest = ref.digest.empty() ? Digest::of(got.bytes) : ref.digest;
  out.size = static_cast<std::int64_t>(got.bytes.size());
  out.media_type = names_a_manifest(got.media_type) ? got.media_type : detect_manifest_type(got.bytes);
  if (out.media_type.empty()) {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("{}: unsupported manifest media type '{}'", ref.str(), got.media_type));
  }
  return out;
}

Result<content::Descriptor> resolve_at(Exchange& exchange, Endpoint& at, const Reference& ref, const Access& access) {
  Question question = manifest_question(ref, "HEAD", ref.object());
  KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
  Response& response = *answer.response;
  if (response.status == 404) return exchange.refusal(question, response, ref.str());
  if (response.status == 401 || response.status == 403) return exchange.refusal(question, response, ref.str());
  content::Descriptor out;
  out.media_type = media_type_of(response);
  out.size = static_cast<std::int64_t>(response.content_length().value_or(0));
  Result<Digest> digest = Digest::parse(trim(response.headers.get("Docker-Content-Digest")));
  bool told_all = response.status == 200 && digest.ok() && out.size > 0 && names_a_manifest(out.media_type);
  if (!told_all) {
    answer.slot.release();
    return resolve_by_get(exchange, at, ref, access);
  }
  if (!ref.digest.empty() && ref.digest != *digest) {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("{}: the registry answered with digest {}", ref.str(), digest->str()));
  }
  out.digest = *std::move(digest);
  return out;
}

// A blob's bytes as one stream over as many connections as it takes.
class BlobStream final : public ByteSource {
 public:
  BlobStream(Exchange& exchange, std::vector<Endpoint> endpoints, const Reference& ref, content::Descriptor descriptor,
             std::uint64_t offset, Access access, Verify verify)
      : exchange_(exchange),
        endpoints_(std::move(endpoints)),
        ref_(ref),
        descriptor_(std::move(descriptor)),
        at_(offset),
        access_(std::move(access)) {
    if (verify == Verify::kYes && offset == 0 && !descriptor_.digest.empty())
      hasher_.emplace(descriptor_.digest.algorithm());
  }

  // First connection; NotFound and the like come from here.
  Status open() {
    for (std::size_t i = 0; i < endpoints_.size(); ++i) {
      current_ = i;
      Status status = connect();
      if (status.ok() || is_cancelled(status)) return status;
      if (i + 1 == endpoints_.size()) return open_foreign(status);
    }
    return peer_error(Code::kNotFound, fmt::format("{}: not found", descriptor_.digest.str()));
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    if (!failed_.ok()) return failed_;
    if (finished_) return std::size_t{0};
    while (true) {
      Result<std::size_t> got = answer_.response->read(buffer);
      bool cut = got.ok() ? (*got == 0 && size_known() && at_ < size()) : worth_retrying(got.status(), tries_);
      if (!cut) {
        if (!got.ok()) return failed_ = got.status();
        if (*got == 0) return finish();
        at_ += *got;
        if (size_known() && at_ > size())
          return failed_ = mismatch(fmt::format("more than the expected {} bytes", size()));
        if (hasher_) hasher_->update(std::string_view(buffer.data(), *got));
        tries_ = 0;
        return got;
      }
      Status why = got.ok() ? peer_error(Code::kUnavailable, "connection ended early") : got.status();
      if (Status status = reconnect(why); !status.ok()) return failed_ = status;
    }
  }

 private:
  bool size_known() const { return descriptor_.size > 0; }
  std::uint64_t size() const { return static_cast<std::uint64_t>(descriptor_.size); }

  Status connect() {
    Endpoint& at = endpoints_[current_];
    Question question;
    bool manifest = names_a_manifest(descriptor_.media_type);
    question.rest = fmt::format("{}/{}/{}", ref_.path, manifest ? "manifests" : "blobs", descriptor_.digest.str());
    question.scopes = pull_scope(ref_);
    return ask(at, question);
  }

  Status ask(Endpoint& at, Question& question) {
    question.headers.set("Accept", descriptor_.media_type.empty() ? "*/*" : descriptor_.media_type + ", */*");
    if (at_ > 0) question.headers.set("Range", fmt::format("bytes={}-", at_));
    answer_ = {};
    KILN_ASSIGN_OR_RETURN(answer_, exchange_.ask(at, question, access_));
    Response& response = *answer_.response;
    if (at_ > 0 && response.status == 200) return skip(at_);
    if (response.status == 200 || (at_ > 0 && response.status == 206)) return ok();
    if (response.status == 416 && size_known() && at_ == size()) return ok();
    Status refused = exchange_.refusal(question, response, fmt::format("{}@{}", ref_.name(), descriptor_.digest.str()));
    answer_ = {};
    return refused;
  }

  // Layers "not for distribution" live where their URLs say.
  Status open_foreign(Status refused) {
    if (!is_not_found(refused)) return refused;
    for (const std::string& url : descriptor_.urls) {
      Result<Url> parsed = parse_url(url);
      if (!parsed.ok()) continue;
      Endpoint at;
      at.scheme = parsed->scheme;
      at.host = parsed->authority();
      foreign_url_ = url;
      Question question;
      question.url = url;
      if (Status status = ask(at, question); status.ok() || is_cancelled(status)) return status;
    }
    return refused;
  }

  Status reconnect(const Status& why) {
    answer_ = {};
    KILN_ASSIGN_OR_RETURN(bool more, exchange_.wait_for_retry(tries_++, std::nullopt, access_.stop));
    if (!more) return annotate(why, fmt::format("download of {} stopped at byte {}", descriptor_.digest.str(), at_));
    log_debug("resume {} at byte {}: {}", descriptor_.digest.str(), at_, message_of(why));
    return foreign_url_.empty() ? connect() : open_foreign(peer_error(Code::kNotFound, "foreign"));
  }

  // A server without ranges sends everything again.
  Status skip(std::uint64_t count) {
    std::string buffer(kChunkBytes, '\0');
    while (count > 0) {
      std::size_t want = std::min<std::uint64_t>(count, buffer.size());
      KILN_ASSIGN_OR_RETURN(std::size_t got, answer_.response->read(std::span(buffer.data(), want)));
      if (got == 0) return mismatch(fmt::format("it ends {} bytes early", count));
      count -= got;
    }
    return ok();
  }

  Result<std::size_t> finish() {
    finished_ = true;
    answer_ = {};
    if (!hasher_) return std::size_t{0};
    Digest actual = hasher_->finish();
    hasher_.reset();
    if (actual != descriptor_.digest) return failed_ = mismatch("its digest is " + actual.str());
    return std::size_t{0};
  }

  Status mismatch(std::string_view why) const {
    return peer_error(Code::kFailedPrecondition, fmt::format("blob {} of {} is damaged at the registry: {}",
                                                             descriptor_.digest.str(), ref_.name(), why));
  }

  Exchange& exchange_;
  std::vector<Endpoint> endpoints_;
  std::size_t current_ = 0;
  Reference ref_;
  content::Descriptor descriptor_;
  std::uint64_t at_;
  Access access_;
  Answer answer_;
  std::string foreign_url_;
  std::optional<Hasher> hasher_;
  std::size_t tries_ = 0;
  bool finished_ = false;
  Status failed_ = ok();
};

}  // namespace

Scopes pull_scope(const Reference& ref) { return Scopes({fmt::format("repository:{}:pull", ref.path)}); }
Scopes push_scope(const Reference& ref) { return Scopes({fmt::format("repository:{}:pull,push", ref.path)}); }

Result<Resolved> resolve(Exchange& exchange, const Reference& asked, const Access& access) {
  Reference ref = asked.with_default_tag();
  KILN_ASSIGN_OR_RETURN(std::vector<Endpoint> endpoints, exchange.hosts().for_pull(ref, access.insecure));
  return first_of<Resolved>(std::move(endpoints), [&](Endpoint& at) -> Result<Resolved> {
    KILN_ASSIGN_OR_RETURN(content::Descriptor descriptor, resolve_at(exchange, at, ref, access));
    return Resolved{.ref = ref.with_digest(descriptor.digest), .descriptor = std::move(descriptor), .host = at.host};
  });
}

Result<Digest> stat_manifest(Exchange& exchange, Endpoint& at, const Reference& ref, const Access& access) {
  Question question = manifest_question(ref, "HEAD", ref.object());
  question.scopes = push_scope(ref);
  question.retry = Question::Retry::kNo;
  KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
  Result<Digest> digest = Digest::parse(trim(answer.response->headers.get("Docker-Content-Digest")));
  if (answer.response->status == 200 && digest.ok()) return digest;
  return peer_error(Code::kNotFound, fmt::format("{}: not found", ref.str()));
}

Result<std::string> fetch_manifest(Exchange& exchange, const Reference& ref, const content::Descriptor& descriptor,
                                   const Access& access) {
  KILN_ASSIGN_OR_RETURN(std::vector<Endpoint> endpoints, exchange.hosts().for_pull(ref, access.insecure));
  std::string object = descriptor.digest.empty() ? ref.object() : descriptor.digest.str();
  bool manifest = descriptor.media_type.empty() || names_a_manifest(descriptor.media_type);
  return first_of<std::string>(std::move(endpoints), [&](Endpoint& at) -> Result<std::string> {
    std::string bytes;
    if (manifest) {
      KILN_ASSIGN_OR_RETURN(FetchedManifest got,
                            get_manifest(exchange, at, ref, object, descriptor.media_type, access));
      bytes = std::move(got.bytes);
    } else {
      BlobStream stream(exchange, {at}, ref, descriptor, 0, access, Verify::kNo);
      KILN_RETURN_IF_ERROR(stream.open());
      KILN_ASSIGN_OR_RETURN(bytes, read_all(stream, kManifestMax));
    }
    KILN_RETURN_IF_ERROR(check_digest(bytes, descriptor.digest, ref.name()));
    return bytes;
  });
}

Result<std::unique_ptr<ByteSource>> open_blob(Exchange& exchange, const Reference& ref,
                                              const content::Descriptor& descriptor, std::uint64_t offset,
                                              const Access& access, Verify verify) {
  KILN_ASSIGN_OR_RETURN(std::vector<Endpoint> endpoints, exchange.hosts().for_pull(ref, access.insecure));
  auto stream = std::make_unique<BlobStream>(exchange, std::move(endpoints), ref, descriptor, offset, access, verify);
  KILN_RETURN_IF_ERROR(stream->open());
  return std::unique_ptr<ByteSource>(std::move(stream));
}

Result<std::optional<std::int64_t>> stat_blob(Exchange& exchange, Endpoint& at, const Reference& ref,
                                              const Digest& digest, const Scopes& scopes, const Access& access) {
  Question question;
  question.method = "HEAD";
  question.rest = fmt::format("{}/blobs/{}", ref.path, digest.str());
  question.scopes = scopes;
  question.headers.set("Accept", "*/*");
  KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
  if (answer.response->status == 404) return std::optional<std::int64_t>();
  if (answer.response->status != 200) return exchange.refusal(question, *answer.response, digest.str());
  return std::optional<std::int64_t>(static_cast<std::int64_t>(answer.response->content_length().value_or(0)));
}

}  // namespace kiln::registry
