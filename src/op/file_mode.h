// Modes as chmod(1) takes them: "755", "u=rwX,go=rX", "a+x,g-w". Applied to each copied file.
//
//   KILN_ASSIGN_OR_RETURN(ModeChange change, ModeChange::parse("u=rwX,go=rX"));
//   mode = change.apply(info.st_mode);
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::op {

// Immutable; any thread.
class ModeChange {
 public:
  // InvalidArgument "invalid syntax" with the text. There is no umask.
  static Result<ModeChange> parse(std::string_view text);
  // The permission bits (07777) that a file of this st_mode gets. X sets the x bits of directories and
  // of what had one before.
  std::uint32_t apply(std::uint32_t st_mode) const;

 private:
  struct Step {
    enum class Kind { kClear, kSet, kSetIfExecutable, kCopy } kind;
    std::uint32_t bits = 0;  // which may change
    int from_shift = 0;      // kCopy: of the class that is copied: 6, 3 or 0
    bool sets = false;       // kCopy: copies set bits
    bool clears = false;     // kCopy: copies cleared bits ('-': clears those that are set there)
  };
  class Parser;
  std::vector<Step> steps_;
};

}  // namespace kiln::op
