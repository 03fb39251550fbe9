// Whose a file shall be: ids, or names to be looked up in a tree's user database.
//
//   KILN_ASSIGN_OR_RETURN(std::optional<Owner> owner, find_owner(action.owner, open_input));
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/status.h"
#include "graph/op.h"

namespace kiln::op {

struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

// Opens the root of an input or earlier action, by its index in the op; the descriptor stays valid
// during find_owner.
using OpenInput = std::function<Result<int>(std::int64_t index)>;

// nullopt when nothing is asked for. A name that the database does not have, or no database, gives
// id 0; a user id also stands for the group unless one is given. FailedPrecondition when the database
// is no regular file or beyond 10 MiB.
Result<std::optional<Owner>> find_owner(const std::optional<graph::Chown>& chown, const OpenInput& open_input);

}  // namespace kiln::op
