// HTTP as a port: the registry client, the http source and remote caches speak through Transport,
// the real one is libcurl, tests script one.
//
//   std::unique_ptr<Transport> http = make_curl_transport({.user_agent = "buildkit/v0.25"});
//   KILN_ASSIGN_OR_RETURN(auto response, http->send({.url = "https://host/v2/"}, stop));
//   copy_stream(*response, sink);
//
// HTTP/1.1 and HTTP/2 over TLS; proxies come from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY
// and their lower-case forms).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/stream.h"

namespace kiln::registry {

// Header lines in order; names compare without case. A value type.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> lines) : lines_(lines) {}

  void add(std::string name, std::string value) { lines_.emplace_back(std::move(name), std::move(value)); }
  // Replaces every line of that name.
  void set(std::string name, std::string value);
  void remove(std::string_view name);
  // First value of that name; empty when absent.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  void clear() { lines_.clear(); }
  const std::vector<std::pair<std::string, std::string>>& lines() const { return lines_; }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

struct KeyPair {
  std::string key;   // path of a PEM file
  std::string cert;  // path of a PEM file
  bool operator==(const KeyPair&) const = default;
};

struct Tls {
  bool verify = true;                 // false: any certificate will do
  std::vector<std::string> ca_files;  // PEM files, in addition to the machine's own
  std::vector<KeyPair> keypairs;      // client certificates; the first is offered
  bool operator==(const Tls&) const = default;
};

enum class Redirects { kFollow, kReturn };

struct Request {
  std::string method = "GET";
  std::string url;
  Headers headers;
  // A body: either text, or a stream with its length when known (chunked otherwise). The stream
  // must outlive send().
  std::string body_text;
  ByteSource* body = nullptr;
  std::optional<std::uint64_t> body_bytes;

  // Offers gzip and decodes what comes so; Content-Length then counts the encoded bytes.
  bool accept_gzip = false;

  Tls tls;
  // At most ten hops. Authorization and Cookie never travel to another host, port or scheme.
  Redirects redirects = Redirects::kFollow;
  std::chrono::milliseconds connect_timeout{30'000};
  // No byte in either direction for so long ends the transfer with Unavailable.
  std::chrono::milliseconds idle_timeout{60'000};
  // Called now and then while a body is sent, with the bytes sent so far.
  std::function<void(std::uint64_t)> on_sent;
};

// An answer whose head has arrived and whose body is pulled with read(). One thread at a time;
// destroying it before the end drops the connection, reading to the end gives it back for reuse.
// The stop_token given to send() stays in force for read().
class Response : public ByteSource {
 public:
  int status = 0;
  Headers headers;  // of the last hop
  std::string url;  // of the last hop, after redirects
  std::optional<std::uint64_t> content_length() const;
};

// Any thread. An implementer gives: no retries, no cookies, errors
// as peer or environment errors of code Unavailable (could not connect, reset, cut short, timed
// out: worth another try) or FailedPrecondition (certificate refused, plain text where TLS was
// expected: not worth one), Cancelled within 100 ms of a stop.
class Transport {
 public:
  virtual ~Transport() = default;
  // Blocks until the head of the answer is there. An HTTP error status is an answer, not an error.
  virtual Result<std::unique_ptr<Response>> send(Request request, std::stop_token stop) = 0;
};

// Payload types on transport errors, so that callers can tell what to try next.
inline constexpr std::string_view kPlainTextDetail = "kiln.http.plain_text";  // TLS met plain HTTP
inline constexpr std::string_view kRefusedDetail = "kiln.http.refused";       // connection refused
inline constexpr std::string_view kStalledDetail = "kiln.http.stalled";       // no byte for the idle timeout

struct CurlOptions {
  std::string user_agent;
  int idle_connections_max = 30;
};
// The real Transport. No threads of its own; a transfer runs on its caller's thread. Connections
// are kept and reused.
std::unique_ptr<Transport> make_curl_transport(CurlOptions options);

struct Url {
  std::string scheme;
  std::string user_info;  // "user:password", percent-encoded as found
  std::string host;       // without port; IPv6 without brackets
  std::string port;       // as written; empty when absent
  std::string path;       // with leading slash; may be empty
  std::string query;      // without '?'
  std::string fragment;
  // host[:port], IPv6 in brackets.
  std::string authority() const;
  std::string str() const;
};
// Absolute URLs only; InvalidArgument otherwise.
Result<Url> parse_url(std::string_view text);
// RFC 3986 section 5: the target of a Location header seen at `base`.
Result<std::string> resolve_url(std::string_view base, std::string_view reference);
// Percent-encodes everything but unreserved characters.
std::string url_encode(std::string_view text);
Result<std::string> url_decode(std::string_view text);

}  // namespace kiln::registry
