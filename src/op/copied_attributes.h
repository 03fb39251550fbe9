// What every copied entry gets beyond its contents: owner, mode, times, extended attributes.
//
//   CopiedAttributes attributes{{owner, action.timestamp}, action.mode, std::nullopt};
//   KILN_RETURN_IF_ERROR(attributes.give(to_dir, "f", from_dir, "f", info));
//
// Error texts are those of Go's os package with paths as seen inside the trees.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "host/new_files.h"
#include "op/file_edit.h"
#include "op/file_mode.h"

namespace kiln::op {

// Immutable while used; any thread.
struct CopiedAttributes {
  Stamp stamp;
  std::int32_t mode = -1;            // -1: the source's
  std::optional<ModeChange> change;  // before `mode`

  // Of a copy of what `info` describes. The mode without its kind.
  Owner owner_of(const struct stat& info) const;
  mode_t mode_of(const struct stat& info) const;

  // All of them, to the entry `name` in the directory `to`; the extended ones from `from_name` in `from`,
  // as far as the file system takes them (overlay's own are not the tree's).
  Status give(int to, const std::string& name, int from, const std::string& from_name, const struct stat& info) const;
  // To an open regular file that was just created with `mode_of(info) & 0777`; `target` names it in errors.
  Status give_to_new(int out, int in, const std::string& target, const struct stat& info,
                     const host::NewFiles& created) const;
  Status give_times(int dir, const std::string& name, const struct stat& info) const;
};

}  // namespace kiln::op
