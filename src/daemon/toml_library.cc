// The body of toml++, compiled into the program: see base/fmt_library.cc.
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
