// The token of a workflow of GitHub Actions: which scopes of the cache it may read and write.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace kiln::remotecache {

struct GhaScope {
  std::string scope;  // "refs/heads/main"
  bool writable = false;
};

// The scopes in the claims of a JSON web token; its signature is GitHub's to check. InvalidArgument when it
// is none, has no access controls, or is not valid at `now`.
Result<std::vector<GhaScope>> read_gha_token(std::string_view token, Time now);

}  // namespace kiln::remotecache
