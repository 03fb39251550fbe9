// What the command line gives a daemon that asks back: secrets, agents, logins, output places. Made
// from the flags; handed to session::ClientSession.
//
//   KILN_ASSIGN_OR_RETURN(auto secrets, make_secrets(request.secrets));
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/build_request.h"
#include "session/client_session.h"

namespace kiln::client {

// Values are read when asked for. InvalidArgument for a file that is missing or above 500 kB.
Result<std::shared_ptr<session::SecretSource>> make_secrets(const std::vector<SecretEntry>& entries,
                                                            const EnvironmentLookup& environment);

// Agents: SSH_AUTH_SOCK, another socket, or a private agent that holds the given keys. A daemon may
// list keys and have things signed, nothing else; a raw socket passes everything.
Result<std::shared_ptr<session::AgentSource>> make_agents(const std::vector<AgentEntry>& entries,
                                                          const EnvironmentLookup& environment);

// Logins of docker's configuration (DOCKER_CONFIG or ~/.docker/config.json): stored ones,
// credential helpers, and the store. A missing file means anonymous.
std::shared_ptr<session::LoginSource> make_logins(const EnvironmentLookup& environment, std::vector<RegistryTls> tls);

// A sink into a file, made when the first output comes, or into standard output.
Result<std::unique_ptr<session::ExportSink>> open_file_sink(const std::string& path);
Result<std::unique_ptr<session::ExportSink>> open_stdout_sink();

}  // namespace kiln::client
