#include "guest/guest.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "base/text.h"
#include "guest/remote_bridge.h"
#include "guest/stdio_channel.h"

extern char** environ;

namespace kiln::guest {
namespace {

// BUILDKIT_FRONTEND_OPT_7=target=app
std::map<std::string, std::string> options_of_environment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    auto [name, option] = split_once(*entry, '=');
    if (!name.starts_with("BUILDKIT_FRONTEND_OPT_")) continue;
    auto [key, value] = split_once(option, '=');
    out[std::string(key)] = std::string(value);
  }
  return out;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Status run(const frontend::Frontend& frontend) {
  KILN_ASSIGN_OR_RETURN(auto pipes, StdioChannel::open(STDIN_FILENO, STDOUT_FILENO));
  RemoteBridge bridge(pipes->channel(), {.opts = options_of_environment(),
                                         .session_id = variable("BUILDKIT_SESSION_ID"),
                                         .product = variable("BUILDKIT_EXPORTEDPRODUCT")});
  auto greeted = bridge.greet();
  if (!greeted.ok()) return annotate(greeted, "ask the daemon what it can do");
  return bridge.give_back(frontend.build(bridge, {}));
}

}  // namespace

int run_frontend(const frontend::Frontend& frontend) {
  ::signal(SIGPIPE, SIG_IGN);
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const Status status = run(frontend);
  if (status.ok()) return 0;
  std::fprintf(stderr, "kiln-frontend: %s\n", std::string(message_of(status)).c_str());
  return 1;
}

}  // namespace kiln::guest
