// Trades a login for a bearer token at a registry's token server. Used by the daemon when a client
// hands over its login, and by the client when it keeps the login to itself.
//
//   KILN_ASSIGN_OR_RETURN(Token token, trade_login(http, request, login, {}, stop));
//
// https://distribution.github.io/distribution/spec/auth/token/ and .../auth/oauth/
#pragma once

#include <stop_token>
#include <string>

#include "registry/credentials.h"
#include "registry/http.h"

namespace kiln::registry {

// Identity tokens go by POST; others by GET first, by POST where the server wants that; anonymous
// (empty) logins by GET. Blocking. Unauthenticated (fault: peer) when the server refuses.
Result<Token> trade_login(Transport& http, const TokenRequest& request, const Login& login, const Tls& tls,
                          std::stop_token stop);

// "Basic …" of RFC 7617.
std::string basic_header(const Login& login);

}  // namespace kiln::registry
