// Turns a registry's challenge into an Authorization header: Basic, or Bearer with a token fetched
// by us or by the client. Tokens are kept by asker, host and scopes. Private to the room's client.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "registry/client.h"

namespace kiln::registry {

// One challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1).
struct Challenge {
  std::string scheme;  // lower case
  std::map<std::string, std::string> parameters;
};
std::vector<Challenge> parse_challenges(const Headers& headers);

// Token scopes as a set that can be merged: "repository:a/b" → {pull, push}.
class Scopes {
 public:
  Scopes() = default;
  explicit Scopes(const std::vector<std::string>& texts);
  void add(std::string_view text);  // several scopes may be in one text, parted by blanks
  void add(const Scopes& other);
  bool contains(const Scopes& other) const;
  std::vector<std::string> list() const;  // sorted, actions sorted: the canonical form

 private:
  std::map<std::string, std::set<std::string>> actions_;
};

// Any thread.
class Authorizer {
 public:
  Authorizer(Transport& http, Clock& clock) : http_(http), clock_(clock) {}

  // The header to send when this host's habits are known from an earlier challenge; nullopt when
  // the request should go out bare first.
  Result<std::optional<std::string>> header(const std::string& host, const Tls& tls, const Scopes& scopes,
                                            const Access& access);
  // Learns from a 401. `sent`: the header that was refused, if any. Gives whether another try makes
  // sense; an error says why nobody can get in.
  Status learn(const std::string& host, const Headers& answer, const std::optional<std::string>& sent,
               const Scopes& scopes, const Access& access);

 private:
  struct Habit {
    std::string scheme;  // "basic" or "bearer"
    std::string realm;
    std::string service;
    Scopes scopes;  // what the registry itself asked for, when it names no repository
  };
  struct CachedToken {
    std::string header;
    Time expires{};
  };

  Result<std::string> bearer(const std::string& host, const Tls& tls, const Habit& habit, const Scopes& scopes,
                             const Access& access);
  Result<Token> fetch(const std::string& host, const Tls& tls, const Habit& habit,
                      const std::vector<std::string>& scopes, const Access& access);

  Transport& http_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Habit> habits_;        // by host
  std::map<std::string, CachedToken> tokens_;  // by identity, host and scopes
  std::set<std::string> fetching_;             // keys being fetched; others wait for the outcome
  std::condition_variable_any fetched_;
};

}  // namespace kiln::registry
