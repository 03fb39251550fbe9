#include "registry/token.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/clock.h"
#include "base/text.h"

namespace kiln::registry {
namespace {

constexpr std::size_t kTokenAnswerMax = 4 << 20;

Result<Token> parse_token(std::string_view text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return peer_error(Code::kUnauthenticated, "the token server's answer is not a JSON object");
  auto field = [&](const char* name) -> std::string {
    auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Token token;
  token.token = field("token");
  if (token.token.empty()) token.token = field("access_token");
  if (token.token.empty())
    return peer_error(Code::kUnauthenticated, "the token server did not include a token in the response");
  if (auto found = json.find("expires_in"); found != json.end() && found->is_number()) {
    token.expires_in_s = found->get<std::int64_t>();
  }
  if (Result<Time> issued = parse_rfc3339(field("issued_at")); issued.ok()) {
    token.issued_at_s = std::chrono::duration_cast<std::chrono::seconds>(issued->time_since_epoch()).count();
  }
  return token;
}

Status unexpected(const Request& request, int status) {
  return peer_error(status >= 500 || status == 429 ? Code::kUnavailable : Code::kUnauthenticated,
                    fmt::format("unexpected status from {} request to {}: {}", request.method, request.url, status));
}

Result<Token> trade_by_get(Transport& http, const TokenRequest& wanted, const Login& login, const Tls& tls,
                           int& http_status, std::stop_token stop) {
  Request request;
  request.tls = tls;
  request.url = wanted.realm;
  char separator = wanted.realm.find('?') == std::string::npos ? '?' : '&';
  auto add = [&](std::string_view name, std::string_view value) {
    request.url += fmt::format("{}{}={}", separator, name, url_encode(value));
    separator = '&';
  };
  for (const std::string& scope : wanted.scopes) add("scope", scope);
  if (!wanted.service.empty()) add("service", wanted.service);
  if (!login.secret.empty()) {
    if (!login.username.empty()) add("account", login.username);
    request.headers.set("Authorization", basic_header(login));
  }
  KILN_ASSIGN_OR_RETURN(auto response, http.send(request, stop));
  http_status = response->status;
  KILN_ASSIGN_OR_RETURN(std::string text, read_all(*response, kTokenAnswerMax));
  if (response->status < 200 || response->status >= 300) return unexpected(request, response->status);
  return parse_token(text);
}

Result<Token> trade_by_post(Transport& http, const TokenRequest& wanted, const Login& login, const Tls& tls,
                            std::stop_token stop) {
  Request request;
  request.method = "POST";
  request.tls = tls;
  request.url = wanted.realm;
  request.headers.set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
  std::string form = fmt::format("client_id={}&service={}", wanted.client_id, url_encode(wanted.service));
  if (!wanted.scopes.empty()) form += "&scope=" + url_encode(join(wanted.scopes, " "));
  if (login.username.empty()) {
    form += "&grant_type=refresh_token&refresh_token=" + url_encode(login.secret);
  } else {
    form += fmt::format("&grant_type=password&username={}&password={}", url_encode(login.username),
                        url_encode(login.secret));
  }
  request.body_text = std::move(form);
  KILN_ASSIGN_OR_RETURN(auto response, http.send(request, stop));
  KILN_ASSIGN_OR_RETURN(std::string text, read_all(*response, kTokenAnswerMax));
  if (response->status < 200 || response->status >= 300) return unexpected(request, response->status);
  return parse_token(text);
}

}  // namespace

std::string basic_header(const Login& login) { return "Basic " + base64_encode(login.username + ":" + login.secret); }

Result<Token> trade_login(Transport& http, const TokenRequest& request, const Login& login, const Tls& tls,
                          std::stop_token stop) {
  // An identity token can only be traded in by POST.
  if (login.username.empty() && !login.secret.empty()) {
    Result<Token> token = trade_by_post(http, request, login, tls, stop);
    return token.ok() ? token : annotate(token.status(), "failed to authorize: failed to fetch oauth token");
  }
  int http_status = 0;
  Result<Token> token = trade_by_get(http, request, login, tls, http_status, stop);
  if (token.ok()) return token;
  if (login.secret.empty()) return annotate(token.status(), "failed to authorize: failed to fetch anonymous token");
  // Some servers only trade by POST; they say so in these three ways.
  if (http_status == 405 || http_status == 404 || http_status == 401) {
    Result<Token> posted = trade_by_post(http, request, login, tls, stop);
    if (posted.ok()) return posted;
  }
  return annotate(token.status(), "failed to authorize: failed to fetch oauth token");
}

}  // namespace kiln::registry
