// One question to one registry host and its answer: authorised, retried, counted against the
// host's limit. Pull and push are made of these. Private to the room's client.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "registry/auth.h"
#include "registry/client.h"
#include "registry/hosts.h"
#include "registry/limits.h"

namespace kiln::registry {

// Payload of a refusal: what the registry calls it, "MANIFEST_BLOB_UNKNOWN", separated by commas.
inline constexpr std::string_view kErrorCodesDetail = "kiln.registry.codes";

struct Question {
  std::string method = "GET";
  std::string rest;  // below /v2/: "library/busybox/manifests/latest"
  std::string url;   // absolute, instead of `rest`: an upload's Location
  Headers headers;
  Scopes scopes;
  HostLimits::Lane lane = HostLimits::Lane::kBlobs;
  enum class Retry { kNo, kYes } retry = Retry::kYes;
  // The body to send, opened anew for each try; null when there is none.
  std::function<Result<std::unique_ptr<ByteSource>>()> body;
  std::uint64_t body_bytes = 0;
  std::function<void(std::uint64_t)> on_sent;
};

// The head of an answer with its body still to be read; holds a place in the host's limit.
struct Answer {
  HostLimits::Slot slot;
  std::unique_ptr<Response> response;
};

// Any thread.
class Exchange {
 public:
  Exchange(Transport& http, const Options& options)
      : http_(http),
        options_(options),
        hosts_(options.hosts),
        limits_(options.concurrency),
        auth_(http, system_clock()) {}

  Hosts& hosts() { return hosts_; }

  // Gives answers of any status but 401, 429 and 5xx, which are dealt with here. `at` may change
  // its scheme (plain HTTP after a failed TLS).
  Result<Answer> ask(Endpoint& at, const Question& question, const Access& access);

  // What the refusal means, from status and body; reads the body. `object` is what was asked for. The codes
  // in the body are its kErrorCodesDetail.
  Status refusal(const Question& question, Response& response, std::string_view object);

  // Waits before try number `attempt` (0-based); false when there are no more tries.
  Result<bool> wait_for_retry(std::size_t attempt, std::optional<Duration> asked, std::stop_token stop);

 private:
  Result<std::unique_ptr<Response>> send_once(Endpoint& at, const Question& question, const Access& access);
  Result<std::unique_ptr<Response>> send_authorized(Endpoint& at, const Question& question, const Access& access);

  Transport& http_;
  const Options& options_;
  Hosts hosts_;
  HostLimits limits_;
  Authorizer auth_;
};

// Whether another try of the same may succeed, after `attempt` that were made again already. A host that said
// nothing for a whole idle timeout gets one more try, not one after the other.
bool worth_retrying(const Status& status, std::size_t attempt = 0);

}  // namespace kiln::registry
