// The client's SSH agents, as a socket inside a step. Each connection to the socket becomes one call
// to the client; all of them share the room's polling thread.
//
//   KILN_RETURN_IF_ERROR(asker.check("default", stop));
//   KILN_ASSIGN_OR_RETURN(auto socket, asker.forward({.id = "default", .mode = 0600}, stop));
//   mount(socket->path(), "/run/buildkit/ssh_agent.0");
//
// Protocol: moby.sshforward.v1.SSH, metadata "buildkit.ssh.id".
#pragma once

#include <sys/types.h>

#include <memory>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "session/session.h"

namespace kiln::session {

// A listening socket; closes and is removed, with its connections, when destroyed.
class SshSocket {
 public:
  virtual ~SshSocket() = default;
  virtual const std::string& path() const = 0;
};

struct SshSocketOptions {
  std::string id;  // "" is "default"
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0600;
};

// The port. Any thread.
class SshAsker {
 public:
  virtual ~SshAsker() = default;
  // An error unless some client offers the agent; FailedPrecondition when none is attached.
  virtual Status check(const std::string& id, std::stop_token stop) = 0;
  // Serves the agent of the first client that offers it.
  virtual Result<std::unique_ptr<SshSocket>> forward(const SshSocketOptions& options, std::stop_token stop) = 0;
};

std::unique_ptr<SshAsker> ssh_asker(SessionGroup group);

}  // namespace kiln::session
