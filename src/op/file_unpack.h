// Archives that ADD unpacks: tar, plain or compressed with gzip, bzip2, xz or zstd, told by content.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "op/file_edit.h"

namespace kiln::op {

// Unpacks the file `path` (relative, free of links) of `source` into the directory `dest` of `target`,
// made when missing. Gives false, having done nothing, when it is no regular file or no archive.
// Owners are the archive's unless the stamp has one. `bytes_max` as layer/apply.h's.
Result<bool> unpack_archive(int source, const std::string& path, int target, const std::string& dest,
                            const Stamp& stamp, std::uint64_t bytes_max, std::stop_token stop);

}  // namespace kiln::op
