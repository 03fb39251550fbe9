#include "registry/push.h"

#include "base/log.h"
#include "base/text.h"
#include "registry/pull.h"

namespace kiln::registry {
namespace {

constexpr int kMissingMin = 4;
constexpr std::int64_t kUnaskedBytesMax = 64 * 1024;

// An upload session, begun by POST, ended by PUT.
struct Begun {
  bool mounted = false;
  std::string location;
};

Result<Begun> begin_upload(Exchange& exchange, Endpoint& at, const Reference& ref, const Digest& digest,
                           const std::string& mount_from, const Access& access) {
  Question question;
  question.method = "POST";
  question.lane = HostLimits::Lane::kUploads;
  question.rest = fmt::format("{}/blobs/uploads/", ref.path);
  question.scopes = push_scope(ref);
  if (!mount_from.empty()) {
    question.rest += fmt::format("?mount={}&from={}", url_encode(digest.str()), url_encode(mount_from));
    question.scopes.add(fmt::format("repository:{}:pull", mount_from));
  }
  KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
  Response& response = *answer.response;
  if (response.status == 201) return Begun{.mounted = !mount_from.empty(), .location = {}};
  if (response.status != 202) return exchange.refusal(question, response, ref.name());
  std::string_view location = response.headers.get("Location");
  if (location.empty()) {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("push to {}: the registry gave no upload location", ref.name()));
  }
  KILN_ASSIGN_OR_RETURN(std::string url, resolve_url(response.url, location));
  return Begun{.mounted = false, .location = std::move(url)};
}

// One try: a new upload session each time, because a cut one is in doubt.
Status upload(Exchange& exchange, Endpoint& at, const Reference& ref, const content::Descriptor& descriptor,
              std::string location, const BlobOpener& open, const Access& access, const Progress& progress) {
  Question question;
  question.method = "PUT";
  question.url = location + (location.find('?') == std::string::npos ? "?" : "&") +
                 "digest=" + url_encode(descriptor.digest.str());
  question.scopes = push_scope(ref);
  question.retry = Question::Retry::kNo;
  question.lane = HostLimits::Lane::kUploads;
  question.headers.set("Content-Type", "application/octet-stream");
  question.body = [&open] { return open(0); };
  question.body_bytes = static_cast<std::uint64_t>(descriptor.size);
  question.on_sent = progress;
  KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
  int status = answer.response->status;
  if (status == 200 || status == 201 || status == 204) return ok();
  return exchange.refusal(question, *answer.response, ref.name());
}

// Whether the registry has the blob. Not asked when the answer is all but known and the blob is small.
Result<bool> is_there(Exchange& exchange, Endpoint& at, const Reference& ref, const BlobToPush& blob,
                      const Access& access) {
  bool unasked = blob.series.missing_in_a_row >= kMissingMin && blob.descriptor.size <= kUnaskedBytesMax;
  if (unasked && blob.mount_from.empty()) return false;
  KILN_ASSIGN_OR_RETURN(std::optional<std::int64_t> there,
                        stat_blob(exchange, at, ref, blob.descriptor.digest, push_scope(ref), access));
  if (there) {
    blob.series.missing_in_a_row = 0;
  } else {
    ++blob.series.missing_in_a_row;
  }
  return there.has_value();
}

}  // namespace

Result<Pushed> push_blob(Exchange& exchange, const Reference& ref, const BlobToPush& blob, const Access& access) {
  const Digest& digest = blob.descriptor.digest;
  KILN_ASSIGN_OR_RETURN(Endpoint at, exchange.hosts().for_push(ref, access.insecure));
  KILN_ASSIGN_OR_RETURN(bool there, is_there(exchange, at, ref, blob, access));
  if (there) return Pushed::kExisted;

  std::string location;
  for (const std::string& from : blob.mount_from) {
    if (from == ref.path) continue;
    Result<Begun> begun = begin_upload(exchange, at, ref, digest, from, access);
    if (!begun.ok()) {
      // No right to read the other repository: an upload always works.
      if (is_cancelled(begun.status())) return begun.status();
      log_debug("mount {} from '{}': {}", digest.str(), from, message_of(begun.status()));
      continue;
    }
    if (begun->mounted) return Pushed::kMounted;
    location = begun->location;
    break;
  }
  for (std::size_t attempt = 0;; ++attempt) {
    if (location.empty()) {
      KILN_ASSIGN_OR_RETURN(Begun begun, begin_upload(exchange, at, ref, digest, "", access));
      location = begun.location;
    }
    Status status =
        upload(exchange, at, ref, blob.descriptor, std::exchange(location, {}), blob.open, access, blob.progress);
    if (status.ok()) return Pushed::kUploaded;
    if (!worth_retrying(status, attempt)) return status;
    KILN_ASSIGN_OR_RETURN(bool more, exchange.wait_for_retry(attempt, std::nullopt, access.stop));
    if (!more) return status;
  }
}

Status push_manifest(Exchange& exchange, const Reference& ref, const content::Descriptor& descriptor,
                     std::string_view bytes, const Access& access) {
  KILN_ASSIGN_OR_RETURN(Endpoint at, exchange.hosts().for_push(ref, access.insecure));
  Question question;
  question.method = "PUT";
  question.rest = fmt::format("{}/manifests/{}", ref.path, ref.tag.empty() ? descriptor.digest.str() : ref.tag);
  question.scopes = push_scope(ref);
  question.lane = HostLimits::Lane::kManifests;
  question.headers.set("Content-Type", descriptor.media_type);
  question.body = [bytes]() -> Result<std::unique_ptr<ByteSource>> {
    return std::unique_ptr<ByteSource>(std::make_unique<StringSource>(std::string(bytes)));
  };
  question.body_bytes = bytes.size();
  KILN_ASSIGN_OR_RETURN(Answer answer, exchange.ask(at, question, access));
  Response& response = *answer.response;
  if (response.status != 200 && response.status != 201 && response.status != 204) {
    Status refused = exchange.refusal(question, response, ref.str());
    const std::string codes = get_detail(refused, kErrorCodesDetail).value_or("");
    if (codes.find("BLOB_UNKNOWN") != std::string::npos) set_detail(refused, kMissingBlobsDetail, "1");
    return refused;
  }
  std::string_view told = trim(response.headers.get("Docker-Content-Digest"));
  if (!told.empty() && told != descriptor.digest.str()) {
    return peer_error(Code::kFailedPrecondition, fmt::format("push of {}: the registry took it as {}, expected {}",
                                                             ref.str(), told, descriptor.digest.str()));
  }
  return ok();
}

}  // namespace kiln::registry
