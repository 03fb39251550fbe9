// Rewrites what a check found and what has one right answer, and no other byte of the file.
//
//   FixResult fix = fix_findings(text, findings);
//   write(fix.text); say("fixed", fix.fixed.size()); say("left", fix.left.size());
//
// Rules that are fixed: ConsistentInstructionCasing, FromAsCasing, StageNameCasing,
// NoEmptyContinuation, LegacyKeyValueFormat, JSONArgsRecommended, MaintainerDeprecated,
// RedundantTargetPlatform, ExposeProtoCasing, ExposeInvalidFormat. A finding is left when its
// statement is written so that the answer is not plain (quotes in quotes, commands that only a shell
// understands). Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/dockerfile/check/findings.h"

namespace kiln::frontend::dockerfile {

struct FixResult {
  std::string text;
  std::vector<Finding> fixed;
  std::vector<Finding> left;
};

// `findings` must be of this very text. A text that does not parse is given back as it is.
FixResult fix_findings(std::string_view text, const std::vector<Finding>& findings);

}  // namespace kiln::frontend::dockerfile
