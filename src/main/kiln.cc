// kiln, the client; started as buildctl it takes BuildKit's commands.
#include "client/program.h"

int main(int argc, char** argv) {
  return kiln::client::run_program_main(argc, argv);
}
