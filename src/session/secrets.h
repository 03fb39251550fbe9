// Secrets of the client, by id; for steps that mount them and for git and http logins.
//
//   KILN_ASSIGN_OR_RETURN(std::optional<std::string> token, asker.get_secret("GIT_AUTH_TOKEN", stop));
//
// Protocol: moby.buildkit.secrets.v1.Secrets.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "session/session.h"

namespace kiln::session {

// The port. Any thread.
class SecretAsker {
 public:
  virtual ~SecretAsker() = default;
  // Nothing when no client knows the id (or no client is attached that offers secrets). Blocking,
  // cancellable.
  virtual Result<std::optional<std::string>> get_secret(const std::string& id, std::stop_token stop) = 0;
};

std::unique_ptr<SecretAsker> secret_asker(SessionGroup group);

}  // namespace kiln::session
