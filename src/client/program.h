// The command line program: `kiln`, and `buildctl` when started under that name.
//
//   int main(int argc, char** argv) { return kiln::client::run_program_main(argc, argv); }
//
// The name decides what `build` takes: `buildctl build` BuildKit's flags (frontend, opts, locals),
// `kiln build` a context and the flags a person knows. Everything else is the same; `kiln solve` is
// BuildKit's build under kiln's name.
#pragma once

#include "base/command_line.h"

namespace kiln::client {

// Exit status: 0, 1 after an error (told on stderr), 130 when interrupted. Blocks signals SIGINT
// and SIGTERM for its own use; call before any thread is started.
int run_program_main(int argc, char** argv);

// The tables, for documentation.
const Command& kiln_table();
const Command& buildctl_table();

}  // namespace kiln::client
