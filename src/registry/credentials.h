// Who may read and write a registry: a port, because the answer lives with the client that asked
// for the build (its docker config, its token helper) and this room knows no sessions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"

namespace kiln::registry {

// Both empty: anonymous. Username empty and secret set: an identity (refresh) token.
struct Login {
  std::string username;
  std::string secret;
};

// Token authentication, https://distribution.github.io/distribution/spec/auth/token/
struct TokenRequest {
  std::string client_id;
  std::string host;
  std::string realm;
  std::string service;
  std::vector<std::string> scopes;  // "repository:library/busybox:pull"
};

struct Token {
  std::string token;
  std::int64_t expires_in_s = 0;  // 0: the default of 60
  std::int64_t issued_at_s = 0;   // Unix time; 0: now
};

// Any thread. Implementers answer for one asker (a build's sessions); calls may block on the
// client and must give Cancelled soon after a stop.
class Credentials {
 public:
  virtual ~Credentials() = default;
  // Names the login this asker has at the host, without telling it: tokens are shared between calls
  // of equal identity and never otherwise. "" is the anonymous one.
  virtual Result<std::string> identity(const std::string& host, std::stop_token stop) = 0;
  // Anonymous is a Login of empty strings, not an error.
  virtual Result<Login> login(const std::string& host, std::stop_token stop) = 0;
  // The client fetches the token itself, so that its password never comes here. nullopt: it does
  // not want to, use login().
  virtual Result<std::optional<Token>> fetch_token(const TokenRequest& request, std::stop_token stop) = 0;
};

// Anonymous everywhere.
std::shared_ptr<Credentials> anonymous();
// The same login for every host; for tests and tools.
std::shared_ptr<Credentials> fixed_login(Login login);

}  // namespace kiln::registry
