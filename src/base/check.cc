#include "base/check.h"

#include <cstdlib>

#include "base/log.h"

namespace kiln::internal {

void check_failed(const char* condition, const char* file, int line) {
  log_error("broken invariant: {} at {}:{}", condition, file, line);
  std::abort();
}

}  // namespace kiln::internal
