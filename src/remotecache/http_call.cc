#include "remotecache/http_call.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/text.h"
#include "base/value.h"

namespace kiln::remotecache {
namespace {

constexpr std::size_t kAnswerBytesMax = 4 << 20;

bool is_busy(int status) { return status == 429 || status == 500 || status == 502 || status == 503 || status == 504; }

// Retry-After in seconds; dates are not worth the trouble.
Duration asked_pause(const registry::Response& response) {
  auto seconds = parse_unsigned(trim(response.headers.get("Retry-After")), 10, 3600);
  return seconds ? std::chrono::seconds(*seconds) : Duration::zero();
}

class LimitedSource final : public ByteSource {
 public:
  LimitedSource(std::unique_ptr<ByteSource> from, std::uint64_t bytes) : from_(std::move(from)), left_(bytes) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    if (left_ == 0) return std::size_t{0};
    if (buffer.size() > left_) buffer = buffer.first(static_cast<std::size_t>(left_));
    KILN_ASSIGN_OR_RETURN(std::size_t count, from_->read(buffer));
    left_ -= count;
    return count;
  }

 private:
  std::unique_ptr<ByteSource> from_;
  std::uint64_t left_;
};

}  // namespace

std::unique_ptr<ByteSource> limited(std::unique_ptr<ByteSource> from, std::uint64_t bytes) {
  return std::make_unique<LimitedSource>(std::move(from), bytes);
}

Result<std::unique_ptr<registry::Response>> HttpCaller::send_once(const HttpCall& what, std::stop_token stop) const {
  registry::Request request;
  request.method = what.method;
  request.url = what.url;
  request.headers = what.headers;
  request.body_text = what.text;
  std::unique_ptr<ByteSource> body;
  if (what.open) {
    KILN_ASSIGN_OR_RETURN(body, what.open());
    request.body = body.get();
    request.body_bytes = what.bytes;
  }
  if (what.sign) KILN_RETURN_IF_ERROR(what.sign(request));
  return http_.send(std::move(request), stop);
}

Result<std::unique_ptr<registry::Response>> HttpCaller::open(const HttpCall& what, std::stop_token stop) const {
  const auto begin = std::chrono::steady_clock::now();
  Duration pause = retries_.first_pause;
  for (int attempt = 1;; ++attempt) {
    auto response = send_once(what, stop);
    const bool broke = !response.ok() && absl::IsUnavailable(response.status()) && !retries_.only_when_told;
    const bool busy =
        response.ok() && (retries_.only_when_told ? (*response)->status == 429 : is_busy((*response)->status));
    if (!broke && !busy) return response;
    if (retries_.attempts_max > 0 && attempt >= retries_.attempts_max) return response;
    const Duration wait = busy ? std::max(pause, asked_pause(**response)) : pause;
    if (std::chrono::steady_clock::now() - begin + wait > retries_.deadline) return response;
    log_debug("cache: {} {} is tried again", what.method, what.url.substr(0, what.url.find('?')));
    if (response.ok()) response->reset();
    KILN_RETURN_IF_ERROR(wait_for(stop, wait));
    pause = std::min(pause * 2, retries_.longest_pause);
  }
}

Result<HttpAnswer> HttpCaller::call(const HttpCall& what, std::stop_token stop) const {
  KILN_ASSIGN_OR_RETURN(auto response, open(what, stop));
  HttpAnswer out;
  out.status = response->status;
  out.headers = response->headers;
  KILN_ASSIGN_OR_RETURN(out.body, read_all(*response, kAnswerBytesMax));
  return out;
}

Status refused(std::string_view what, const HttpAnswer& answer) {
  Code code = Code::kUnknown;
  if (answer.status == 404) code = Code::kNotFound;
  if (answer.status == 401) code = Code::kUnauthenticated;
  if (answer.status == 403) code = Code::kPermissionDenied;
  if (is_busy(answer.status)) code = Code::kUnavailable;
  std::string why = xml_text(answer.body, "Code");
  if (std::string message = xml_text(answer.body, "Message"); !message.empty()) {
    why += (why.empty() ? "" : ": ") + message.substr(0, message.find('\n'));
  }
  if (why.empty()) why = std::string(trim(std::string_view(answer.body).substr(0, 200)));
  if (why.empty() && (answer.status == 401 || answer.status == 403)) why = "(check the cache's credentials)";
  return peer_error(code, fmt::format("{}: HTTP status {}{}{}", what, answer.status, why.empty() ? "" : " ", why));
}

std::string xml_text(std::string_view document, std::string_view name) {
  const std::string open = fmt::format("<{}>", name);
  const std::string close = fmt::format("</{}>", name);
  const std::size_t begin = document.find(open);
  if (begin == std::string_view::npos) return "";
  const std::size_t end = document.find(close, begin);
  if (end == std::string_view::npos) return "";
  std::string out(document.substr(begin + open.size(), end - begin - open.size()));
  for (const auto& [entity, character] : {std::pair("&quot;", "\""), std::pair("&apos;", "'"), std::pair("&lt;", "<"),
                                          std::pair("&gt;", ">"), std::pair("&#34;", "\""), std::pair("&amp;", "&")}) {
    out = replace_all(std::move(out), entity, character);
  }
  return out;
}

}  // namespace kiln::remotecache
