// kiln, the client; started as buildctl it takes BuildKit's commands.
#include <absl/synchronization/mutex.h>
#include <unistd.h>

#include <cstdio>

#include "client/program.h"

int main(int argc, char** argv) {
  // Debian's abseil looks for cycles of locks at each of gRPC's, in one graph behind one lock: for its developers.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const int code = kiln::client::run_program_main(argc, argv);
  // Everything of ours is closed. What is left are libraries' threads and tables, which the kernel takes down at once.
  std::fflush(nullptr);
  ::_exit(code);
}
