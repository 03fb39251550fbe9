// What a check of a build file found, read from the answer to the subrequest "frontend.lint", so
// that it is the same whoever answered: this program, a daemon of ours or another one.
//
//   KILN_ASSIGN_OR_RETURN(CheckResult result, read_check(json));
//   result.findings = without_guesses(result.text, result.findings);   // no base image was looked up
//
// Plain data, pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {

struct Finding {
  std::string rule;
  std::string description;
  std::string url;
  std::string message;
  Ranges ranges;

  int line() const { return ranges.empty() ? 0 : ranges.front().start.line; }
};

// Why the file cannot be built at all.
struct CheckFault {
  std::string message;
  Ranges ranges;
};

struct CheckResult {
  std::string filename;
  std::string text;               // of the build file
  std::vector<Finding> findings;  // by line
  std::optional<CheckFault> fault;
};

// InvalidArgument for JSON that is no such answer.
Result<CheckResult> read_check(std::string_view json);

// Without the findings that a base image could prove wrong: variables that it may define.
std::vector<Finding> without_guesses(std::string_view text, const std::vector<Finding>& findings);

// Sentences about names in `check=` that are no rules, the near one suggested; they silence nothing.
std::vector<std::string> unknown_rules(std::string_view text);

}  // namespace kiln::frontend::dockerfile
