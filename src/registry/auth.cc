#include "registry/auth.h"

#include "base/log.h"
#include "base/text.h"
#include "base/timestamp.h"
#include "registry/token.h"

namespace kiln::registry {
namespace {

constexpr std::int64_t kDefaultExpirySeconds = 60, kExpirySecondsMax = 365 * 24 * 3600;
constexpr std::size_t kTokensMax = 4096;
constexpr std::string_view kClientId = "buildkit-client";

// key=value or key="quoted value" pairs after the scheme, until the next word that is not a pair.
class ChallengeScanner {
 public:
  explicit ChallengeScanner(std::string_view text) : text_(text) {}

  std::vector<Challenge> scan() {
    std::vector<Challenge> out;
    while (skip_separators(), at_ < text_.size()) {
      std::string word = token();
      if (word.empty()) break;
      skip_blanks();
      if (peek() == '=' && !out.empty()) {
        ++at_;
        skip_blanks();
        out.back().parameters[to_lower(word)] = peek() == '"' ? quoted() : token();
      } else {
        out.push_back({.scheme = to_lower(word), .parameters = {}});
      }
    }
    return out;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  void skip_separators() {
    while (peek() == ' ' || peek() == '\t' || peek() == ',') ++at_;
  }
  std::string token() {
    std::size_t start = at_;
    while (at_ < text_.size() && std::string_view(" \t,=\"").find(text_[at_]) == std::string_view::npos) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }
  std::string quoted() {
    std::string out;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_];
    }
    if (at_ < text_.size()) ++at_;
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Challenge> parse_challenges(const Headers& headers) {
  std::vector<Challenge> out;
  for (std::string_view line : headers.all("WWW-Authenticate")) {
    for (Challenge& challenge : ChallengeScanner(line).scan()) out.push_back(std::move(challenge));
  }
  return out;
}

Scopes::Scopes(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) add(text);
}

void Scopes::add(std::string_view text) {
  for (std::string_view scope : words(text)) {
    auto first = scope.find(':');
    auto last = scope.rfind(':');
    if (first == last) {  // no actions
      actions_[std::string(scope)];
      continue;
    }
    auto& actions = actions_[std::string(scope.substr(0, last))];
    for (std::string_view action : split(scope.substr(last + 1), ',')) {
      if (!action.empty()) actions.emplace(action);
    }
  }
}

void Scopes::add(const Scopes& other) {
  for (const auto& [name, actions] : other.actions_) actions_[name].insert(actions.begin(), actions.end());
}

bool Scopes::contains(const Scopes& other) const {
  for (const auto& [name, actions] : other.actions_) {
    auto found = actions_.find(name);
    if (found == actions_.end()) return false;
    for (const std::string& action : actions) {
      if (!found->second.contains(action)) return false;
    }
  }
  return true;
}

std::vector<std::string> Scopes::list() const {
  std::vector<std::string> out;
  for (const auto& [name, actions] : actions_) out.push_back(name + ":" + join(actions, ","));
  return out;
}

Result<std::optional<std::string>> Authorizer::header(const std::string& host, const Tls& tls, const Scopes& scopes,
                                                      const Access& access) {
  Habit habit;
  {
    std::lock_guard guard(mutex_);
    auto found = habits_.find(host);
    if (found == habits_.end()) return std::optional<std::string>();
    habit = found->second;
  }
  if (habit.scheme == "basic") {
    KILN_ASSIGN_OR_RETURN(Login login, access.credentials->login(host, access.stop));
    if (login.username.empty() || login.secret.empty()) return std::optional<std::string>();
    return std::optional<std::string>(basic_header(login));
  }
  KILN_ASSIGN_OR_RETURN(std::string bearer_header, bearer(host, tls, habit, scopes, access));
  return std::optional<std::string>(std::move(bearer_header));
}

Status Authorizer::learn(const std::string& host, const Headers& answer, const std::optional<std::string>& sent,
                         const Scopes& scopes, const Access& access) {
  for (const Challenge& challenge : parse_challenges(answer)) {
    auto parameter = [&](const char* name) {
      auto found = challenge.parameters.find(name);
      return found == challenge.parameters.end() ? std::string() : found->second;
    };
    if (challenge.scheme == "bearer" && !parameter("realm").empty()) {
      Scopes asked;
      asked.add(parameter("scope"));
      if (sent && parameter("error") == "insufficient_scope" && scopes.contains(asked)) {
        return peer_error(Code::kPermissionDenied,
                          "pull access denied, repository does not exist or may require authorization: server message: "
                          "insufficient_scope: authorization failed");
      }
      std::lock_guard guard(mutex_);
      Habit& habit = habits_[host];
      habit = {.scheme = "bearer", .realm = parameter("realm"), .service = parameter("service"), .scopes = {}};
      if (!scopes.contains(asked)) habit.scopes.add(asked);
      if (sent) {
        std::erase_if(tokens_, [&](const auto& entry) { return entry.second.header == *sent; });
      }
      return ok();
    }
    if (challenge.scheme == "basic") {
      if (sent && sent->starts_with("Basic ")) continue;
      KILN_ASSIGN_OR_RETURN(Login login, access.credentials->login(host, access.stop));
      if (login.username.empty() || login.secret.empty()) continue;
      std::lock_guard guard(mutex_);
      habits_[host] = {.scheme = "basic", .realm = parameter("realm"), .service = {}, .scopes = {}};
      return ok();
    }
  }
  return peer_error(
      Code::kUnauthenticated,
      fmt::format("failed to authorize at '{}': no credentials that it accepts; log in to it first", host));
}

Result<std::string> Authorizer::bearer(const std::string& host, const Tls& tls, const Habit& habit,
                                       const Scopes& scopes, const Access& access) {
  Scopes wanted = scopes;
  wanted.add(habit.scopes);
  std::vector<std::string> list = wanted.list();
  KILN_ASSIGN_OR_RETURN(std::string identity, access.credentials->identity(host, access.stop));
  std::string key = identity + "\n" + host + "\n" + join(list, " ");
  {
    std::unique_lock lock(mutex_);
    bool free = fetched_.wait(lock, access.stop, [&] { return !fetching_.contains(key); });
    if (!free) return cancelled();
    auto found = tokens_.find(key);
    if (found != tokens_.end() && found->second.expires > clock_.now()) return found->second.header;
    fetching_.insert(key);
  }
  Result<Token> fetched = fetch(host, tls, habit, list, access);
  std::lock_guard guard(mutex_);
  fetching_.erase(key);
  fetched_.notify_all();
  KILN_ASSIGN_OR_RETURN(Token token, std::move(fetched));
  auto issued = token.issued_at_s == 0 ? clock_.now() : timestamp(token.issued_at_s);
  std::chrono::seconds lifetime(std::clamp<std::int64_t>(token.expires_in_s, 0, kExpirySecondsMax));
  if (token.expires_in_s == 0) lifetime = std::chrono::seconds(kDefaultExpirySeconds);
  // A tenth is left as margin for the request that is about to use it.
  CachedToken cached{.header = "Bearer " + token.token, .expires = issued + lifetime * 9 / 10};
  if (tokens_.size() >= kTokensMax) {
    std::erase_if(tokens_, [&](const auto& entry) { return entry.second.expires <= clock_.now(); });
    if (tokens_.size() >= kTokensMax) tokens_.clear();
  }
  tokens_[key] = cached;
  return cached.header;
}

Result<Token> Authorizer::fetch(const std::string& host, const Tls& tls, const Habit& habit,
                                const std::vector<std::string>& scopes, const Access& access) {
  TokenRequest request{.client_id = std::string(kClientId),
                       .host = host,
                       .realm = habit.realm,
                       .service = habit.service,
                       .scopes = scopes};
  Result<std::optional<Token>> by_client = access.credentials->fetch_token(request, access.stop);
  if (!by_client.ok()) return annotate(by_client.status(), "failed to authorize");
  if (*by_client) return **std::move(by_client);

  KILN_ASSIGN_OR_RETURN(Login login, access.credentials->login(host, access.stop));
  return trade_login(http_, request, login, tls, access.stop);
}

}  // namespace kiln::registry
