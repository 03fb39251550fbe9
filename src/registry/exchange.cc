#include "registry/exchange.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/text.h"

namespace kiln::registry {
namespace {

constexpr std::size_t kErrorBodyMax = 64 * 1024;
constexpr int kResendsMax = 5;
constexpr auto kRetryAfterMax = std::chrono::seconds(120);

bool busy(int status) { return status == 429 || status == 408 || (status >= 500 && status <= 504 && status != 501); }

std::optional<Duration> retry_after(const Response& response) {
  std::string_view text = trim(response.headers.get("Retry-After"));
  int seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc() || seconds < 0) return std::nullopt;
  return std::min<Duration>(std::chrono::seconds(seconds), kRetryAfterMax);
}

std::string_view reason(int status) {
  switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 416: return "Requested Range Not Satisfiable";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "";
  }
}

struct ServerErrors {
  std::string codes;    // "MANIFEST_UNKNOWN", separated by commas
  std::string message;  // the same with words
};

// {"errors":[{"code":…,"message":…}]}; distribution-spec, section Error Codes.
ServerErrors server_errors(std::string_view body) {
  auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("errors") || !json["errors"].is_array()) return {};
  std::vector<std::string> codes, messages;
  for (const auto& item : json["errors"]) {
    if (!item.is_object()) continue;
    auto text = [&](const char* name) {
      return item.contains(name) && item[name].is_string() ? item[name].get<std::string>() : std::string();
    };
    codes.push_back(text("code"));
    std::string code = to_lower(codes.back());
    std::string message = text("message");
    messages.push_back(message.empty() ? code : code + ": " + message);
  }
  return {join(codes, ","), join(messages, ", ")};
}

}  // namespace

bool worth_retrying(const Status& status, std::size_t attempt) {
  if (attempt > 0 && get_detail(status, kStalledDetail)) return false;
  // Nobody listens, or nobody has that name: the user wants to hear it now.
  return status.code() == Code::kUnavailable && !get_detail(status, kRefusedDetail);
}

Result<bool> Exchange::wait_for_retry(std::size_t attempt, std::optional<Duration> asked, std::stop_token stop) {
  if (attempt >= options_.backoff.size()) return false;
  KILN_RETURN_IF_ERROR(wait_for(stop, std::max(options_.backoff[attempt], asked.value_or(Duration::zero()))));
  return true;
}

Result<Answer> Exchange::ask(Endpoint& at, const Question& question, const Access& access) {
  Answer answer;
  KILN_ASSIGN_OR_RETURN(answer.slot, limits_.take(at.host, question.lane, access.stop));
  for (std::size_t attempt = 0;; ++attempt) {
    Result<std::unique_ptr<Response>> response = send_authorized(at, question, access);
    bool again = response.ok() ? busy((*response)->status) : worth_retrying(response.status(), attempt);
    if (!again) {
      if (!response.ok()) return response.status();
      answer.response = *std::move(response);
      return answer;
    }
    Status why = response.ok() ? refusal(question, **response, question.rest) : response.status();
    // A mirror that stumbles is passed over rather than waited for.
    if (question.retry == Question::Retry::kNo || at.mirror) return why;
    std::optional<Duration> asked = response.ok() ? retry_after(**response) : std::nullopt;
    if (response.ok()) response->reset();
    KILN_ASSIGN_OR_RETURN(bool more, wait_for_retry(attempt, asked, access.stop));
    if (!more) return why;
    log_debug("try again: {}", message_of(why));
  }
}

Result<std::unique_ptr<Response>> Exchange::send_authorized(Endpoint& at, const Question& question,
                                                            const Access& access) {
  Question outgoing = question;
  bool own_host = question.url.empty();
  if (Result<Url> url = parse_url(question.url); !own_host && url.ok()) own_host = url->authority() == at.host;
  if (!own_host) return send_once(at, outgoing, access);  // never our credentials to another host
  // Bare or with a known token; then as the challenge says; then once more, should a token have
  // expired meanwhile.
  for (int tries = 0;; ++tries) {
    KILN_ASSIGN_OR_RETURN(std::optional<std::string> header, auth_.header(at.host, at.tls, question.scopes, access));
    if (header) outgoing.headers.set("Authorization", *header);
    KILN_ASSIGN_OR_RETURN(auto response, send_once(at, outgoing, access));
    if (response->status != 401) return response;
    if (tries == 2) return refusal(question, *response, question.rest);
    KILN_RETURN_IF_ERROR(auth_.learn(at.host, response->headers, header, question.scopes, access));
    KILN_RETURN_IF_ERROR(read_all(*response, kErrorBodyMax).status());
  }
}

Result<std::unique_ptr<Response>> Exchange::send_once(Endpoint& at, const Question& question, const Access& access) {
  std::string target = question.url;
  bool left_home = false;
  for (int sends = 0;; ++sends) {
    Request request;
    request.method = question.method;
    request.url = target.empty() ? at.url(question.rest) : target;
    request.headers = question.headers;
    request.tls = at.tls;
    request.on_sent = question.on_sent;
    if (left_home) request.headers.remove("Authorization");
    std::unique_ptr<ByteSource> body;
    if (question.body) {
      KILN_ASSIGN_OR_RETURN(body, question.body());
      request.body = body.get();
      request.body_bytes = question.body_bytes;
      // A registry may hash a large upload before it answers.
      request.idle_timeout = std::chrono::minutes(5);
    }
    Result<std::unique_ptr<Response>> response = http_.send(std::move(request), access.stop);
    if (!response.ok()) {
      bool plain_text = get_detail(response.status(), kPlainTextDetail) ||
                        (get_detail(response.status(), kRefusedDetail) && at.host.find(':') == std::string::npos);
      if (!plain_text || !at.fall_back_to_plain || at.scheme == "http" || !target.empty()) return response.status();
      hosts_.remember_plain(at.host);
      at.scheme = "http";
      continue;
    }
    bool moved = (*response)->status == 307 || (*response)->status == 308;
    if (!moved || !(*response)->headers.has("Location") || sends >= kResendsMax) return response;
    KILN_ASSIGN_OR_RETURN(target, resolve_url((*response)->url, (*response)->headers.get("Location")));
    KILN_ASSIGN_OR_RETURN(Url url, parse_url(target));
    left_home = left_home || url.authority() != at.host;
  }
}

Status Exchange::refusal(const Question& question, Response& response, std::string_view object) {
  Result<std::string> body = read_all(response, kErrorBodyMax);
  const ServerErrors told = body.ok() ? server_errors(*body) : ServerErrors();
  const int status = response.status;
  std::string text = fmt::format("{}: not found", object);
  Code code = Code::kNotFound;
  if (status != 404) {
    text = fmt::format("unexpected status from {} request to {}: {} {}", question.method, response.url, status,
                       reason(status));
    if (!told.message.empty()) text += ": " + told.message;
    code = Code::kFailedPrecondition;
  }
  if (status == 401) code = Code::kUnauthenticated;
  if (status == 403) code = Code::kPermissionDenied;
  if (busy(status)) code = Code::kUnavailable;
  Status out = peer_error(code, text);
  if (!told.codes.empty()) set_detail(out, kErrorCodesDetail, told.codes);
  return out;
}

}  // namespace kiln::registry
