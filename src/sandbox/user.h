// Who a step runs as: "", "uid", "uid:gid", "name", "name:group" against a tree's own /etc/passwd
// and /etc/group (never the host's).
//
//   KILN_ASSIGN_OR_RETURN(User user, find_user(root_fd, "www-data"));
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::sandbox {

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  // supplementary, the primary one first
};

// `root` is a directory descriptor of the tree; symbolic links stay inside it. The empty text is
// root, whatever the files say. A pair of numbers ("root" counts as 0) needs no files. User error
// when a name is unknown. Blocks on the disk.
Result<User> find_user(int root, std::string_view text);

// The home directory that the tree's passwd names for this number; "/" when it names none.
Result<std::string> home_of(int root, std::uint32_t uid);

}  // namespace kiln::sandbox
