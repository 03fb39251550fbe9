// Looking into a tree for a frontend: the paths come from outside and stay inside `root`.
//
//   read_file_in(tree.root.get(), {.path = "/Dockerfile"})
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "frontend/bridge.h"

namespace kiln::daemon {

// `root` is a directory descriptor good for host::open_in_root. NotFound names the path; what is
// larger than a message may be gives ResourceExhausted.
Result<std::string> read_file_in(int root, const frontend::ReadRequest& request);
// Sorted; `include_pattern` is a glob on the base name, "" = all.
Result<std::vector<frontend::FileStat>> read_dir_in(int root, const std::string& path,
                                                    const std::string& include_pattern);
// Of the entry itself, links not followed.
Result<frontend::FileStat> stat_in(int root, const std::string& path);

}  // namespace kiln::daemon
