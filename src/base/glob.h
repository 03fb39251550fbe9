// One shell pattern against one name, by the rules of Go's filepath.Match on Unix, which is what
// COPY's wildcards and the syntax check of ignore files mean:
//   *        any run of bytes without '/'        ?      one character, not '/'
//   [a-z^]   a set, [^…] its complement           \c     c itself
// A pattern matches the whole name. Lists of patterns with "**" and "!" are base/patterns.h.
//
//   KILN_ASSIGN_OR_RETURN(bool hit, glob_match("*.go", name));
//
// Pure functions; any thread.
#pragma once

#include <string_view>

#include "base/status.h"

namespace kiln {

// InvalidArgument "syntax error in pattern" for a malformed pattern, whatever the name.
Result<bool> glob_match(std::string_view pattern, std::string_view name);
// Only the syntax check.
Status check_glob(std::string_view pattern);
// Whether the pattern holds a character with a meaning ("*", "?", "[" or an escape).
bool has_glob_meta(std::string_view pattern);

}  // namespace kiln
