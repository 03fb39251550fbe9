// The comment lines at the top of a build file that speak to the machine: `# syntax=`, `# escape=`,
// `# check=`.
//
//   if (auto syntax = detect_syntax(text)) forward_to(syntax->word, syntax->value);
//
// A directive counts only before anything else in the file, once, its key without regard to case.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {

struct Directive {
  std::string name;   // lower case
  std::string value;  // everything after '=', trimmed
  std::string word;   // the value up to its first blank (an image reference)
  Ranges ranges;
};

// Reads directives line by line; used by the parser on its way through a file.
class DirectiveReader {
 public:
  explicit DirectiveReader(std::string_view comment = "#", int lines_before = 0)
      : comment_(comment), line_(lines_before) {}
  // The directive on this line, or nothing. After the first line that is none, always nothing.
  // InvalidArgument when a directive is given twice.
  Result<std::optional<Directive>> read(std::string_view line);
  bool done() const { return done_; }

 private:
  std::string comment_;
  int line_;
  bool done_ = false;
  bool seen_[3] = {};
};

// The directive of that name at the top of a Dockerfile. A BOM and a `#!` line are passed over.
std::optional<Directive> find_directive(std::string_view name, std::string_view text);
// The frontend a file asks for: `# syntax=`, else `// syntax=`, else a JSON object's "syntax".
std::optional<Directive> detect_syntax(std::string_view text);

}  // namespace kiln::frontend::dockerfile
