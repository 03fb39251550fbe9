// The small file actions: mkdir, mkfile, symlink, rm, below a root that is never left. Error texts are
// those of Go's os package with paths as seen inside the root, because clients match on them:
// "mkdir /a/b: no such file or directory".
//
//   KILN_RETURN_IF_ERROR(make_directory(root_fd, action, owner));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/op.h"
#include "op/file_owner.h"

namespace kiln::op {

// Times of actions: nanoseconds since 1970, or -1 for leaving it to the file system.
struct Stamp {
  std::optional<Owner> owner;
  std::int64_t timestamp = -1;
};

// All block on the disk only.
Status make_directory(int root, const graph::MkdirAction& action, const std::optional<Owner>& owner);
Status make_file(int root, const graph::MkfileAction& action, const std::optional<Owner>& owner);
Status make_symlink(int root, const graph::SymlinkAction& action, const std::optional<Owner>& owner);
Status remove_path(int root, const graph::RmAction& action, std::stop_token stop);

// Directories from the root down to `path` (free of links, relative), those that are missing made
// with `mode`; gives the made ones, outermost first. FailedPrecondition when a file is in the way.
Result<std::vector<std::string>> make_missing_dirs(int root, const std::string& path, std::uint32_t mode,
                                                   const Stamp& stamp);
// Owner and time of the entry itself, not of what it links to; nothing that is not asked for.
Status stamp_entry(int root, const std::string& path, const Stamp& stamp);

// "/a/b/" and "/a/." keep their ends; everything else is cleaned and made absolute.
std::string clean_keeping_end(std::string_view path);
// What matches below the root, sorted, relative paths; links on the way to the first wildcard are
// followed, and its last element only if told to. A pattern without wildcards gives itself.
Result<std::vector<std::string>> resolve_wildcards(int root, std::string_view pattern, bool follow_last);
bool has_wildcards(std::string_view pattern);

// "op path: no such file or directory", fault of the user.
Status go_error(int errno_value, std::string_view op, std::string_view path);

}  // namespace kiln::op
