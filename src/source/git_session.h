// Git with a client behind it: logins, agent and known hosts for one remote. Private to the room.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "host/fs.h"
#include "session/ssh.h"
#include "source/git.h"
#include "source/git_command.h"

namespace kiln::source {

// A git command ready for the wish's remote, with what must stay alive while it is used.
struct GitSession {
  GitCommand git;
  std::unique_ptr<session::SshSocket> agent;
  std::optional<host::TempDir> files;

  // Asks the client for secrets and the agent. Blocking, cancellable.
  static Result<GitSession> open(const GitWish& wish, const Asker& asker);
};

}  // namespace kiln::source
