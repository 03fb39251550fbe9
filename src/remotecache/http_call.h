// Questions to HTTP services that answer in small documents: signed anew for each try, tried again
// when the service is busy or the connection broke.
//
//   HttpCaller http(*transport, {.attempts_max = 3});
//   KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http.call({.method = "HEAD", .url = url, .sign = sign}, stop));
//   if (answer.status == 404) …
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "base/stream.h"
#include "registry/http.h"

namespace kiln::remotecache {

struct HttpCall {
  std::string method = "GET";
  std::string url;
  registry::Headers headers;
  // A body: text, or a stream that is opened anew for each try.
  std::string text;
  std::function<Result<std::unique_ptr<ByteSource>>()> open;
  std::uint64_t bytes = 0;
  // Adds what proves who asks, just before each try. May be empty.
  std::function<Status(registry::Request&)> sign;
};

struct HttpAnswer {
  int status = 0;
  registry::Headers headers;
  std::string body;
  bool good() const { return status >= 200 && status < 300; }
};

struct RetryOptions {
  int attempts_max = 3;                                   // 0: until the deadline
  Duration deadline = std::chrono::minutes(10);           // for one call with all its tries
  Duration first_pause = std::chrono::milliseconds(200);  // doubled each time, up to `longest_pause`
  Duration longest_pause = std::chrono::seconds(20);
  bool only_when_told = false;  // 429 alone is tried again
};

// Any thread.
class HttpCaller {
 public:
  HttpCaller(registry::Transport& http, RetryOptions retries) : http_(http), retries_(retries) {}
  // Reads the whole answer (≤ 4 MiB). Any status is an answer.
  Result<HttpAnswer> call(const HttpCall& what, std::stop_token stop) const;
  // Leaves the body to be read.
  Result<std::unique_ptr<registry::Response>> open(const HttpCall& what, std::stop_token stop) const;

 private:
  Result<std::unique_ptr<registry::Response>> send_once(const HttpCall& what, std::stop_token stop) const;

  registry::Transport& http_;
  RetryOptions retries_;
};

// An unexpected answer as an error: "put 'key': 403 AccessDenied: …". Code by status.
Status refused(std::string_view what, const HttpAnswer& answer);

// The text of the first <name> element of an XML document; "" when there is none.
std::string xml_text(std::string_view document, std::string_view name);

// `bytes` of the blob from `offset` on.
std::unique_ptr<ByteSource> limited(std::unique_ptr<ByteSource> from, std::uint64_t bytes);

}  // namespace kiln::remotecache
