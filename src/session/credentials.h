// Registry logins and tokens from the client; the real behind the registry's port.
//
//   auto credentials = session_credentials(group);
//   registry::Client client(reference, credentials);
//
// Protocol: moby.filesync.v1.Auth. Every question is answered within 60 s or fails.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "registry/credentials.h"
#include "session/session.h"

namespace kiln::session {

// Clients that offer no Auth count as anonymous.
std::shared_ptr<registry::Credentials> session_credentials(SessionGroup group);

// Whether the group holds the login whose public key (32 bytes) another session's token was fetched
// with, proved by a signature; so that a token is shared between clients with the same login.
Result<bool> verify_token_authority(const SessionGroup& group, const std::string& host, const std::string& public_key,
                                    std::stop_token stop);
// The public key of the first client that has one; "" when none has.
Result<std::string> token_authority(const SessionGroup& group, const std::string& host, std::stop_token stop);

}  // namespace kiln::session
