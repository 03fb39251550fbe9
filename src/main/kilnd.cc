// kilnd, the daemon; also answers to the name buildkitd.
#include <absl/synchronization/mutex.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "daemon/daemon.h"
#include "daemon/flags.h"

int main(int argc, char** argv) {
  // Debian's abseil looks for cycles of locks at each of gRPC's, in one graph behind one lock: for its developers.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::string program = argc > 0 ? argv[0] : "kilnd";
  program = program.substr(program.rfind('/') + 1);
  auto line = kiln::daemon::parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
  kiln::Status status = line.status();
  if (line.ok()) {
    switch (line->action) {
      case kiln::daemon::Action::kHelp: std::fputs(kiln::daemon::help_text(program).c_str(), stdout); return 0;
      case kiln::daemon::Action::kVersion: std::puts(kiln::daemon::version_text(program).c_str()); return 0;
      case kiln::daemon::Action::kRun: {
        // Mounts and runtimes take it from folders of their own.
        std::error_code unknown;
        if (auto root = std::filesystem::absolute(line->config.root, unknown); !unknown)
          line->config.root = root.string();
        status = kiln::daemon::run_daemon(line->config);
      }
    }
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", program.c_str(), std::string(kiln::message_of(status)).c_str());
  return 1;
}
