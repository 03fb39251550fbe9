// KILN_CHECK: a broken invariant of ours ends the process, in release too (see HACKING.md, crash
// policy). Never for anything that comes from outside.
#pragma once

namespace kiln::internal {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define KILN_CHECK(condition)                                                         \
  do {                                                                                \
    if (!(condition)) ::kiln::internal::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
