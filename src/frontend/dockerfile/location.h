// Places in a Dockerfile, and errors that know their place.
//
//   return with_ranges(user_error(Code::kInvalidArgument, "unknown instruction: FOO"),
//   line.ranges);
//   ...
//   for (const Ranges& place : ranges_of(status)) mark(place);
//
// The place travels with a Status as payload, so that whoever owns the file's bytes (the lowering,
// which knows name and content) can turn it into the source detail that clients print as excerpt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "event/event.h"

namespace kiln::frontend::dockerfile {

using Range = event::Range;
// One entry a line, as clients expect: an instruction of three lines has three ranges.
using Ranges = std::vector<Range>;

// The lines first..last (1-based) as one range a line; last below first means first only.
Ranges lines(int first, int last);

// Adds a place to an error; an error may have several (the innermost first). OK stays OK.
Status with_ranges(Status status, const Ranges& ranges);
// The places in the order they were added; empty when none was.
std::vector<Ranges> ranges_of(const Status& status);
// Adds the exact word that is wrong, as it stands in the file, so that the place can be narrowed to
// it; the first one given is kept, being the innermost.
Status with_word(Status status, std::string_view word);
Status word_fault(std::string_view word, std::string_view message);  // InvalidArgument about that word
std::string word_of(const Status& status);                           // empty when none was added
// The same error without its places and its word.
Status without_ranges(Status status);

}  // namespace kiln::frontend::dockerfile
