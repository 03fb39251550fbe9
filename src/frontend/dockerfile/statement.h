// A Dockerfile cut into statements: one keyword with its flags and words, continuations joined,
// comments gathered, heredocs attached. What the words mean is decided by instruction_*.cc.
//
//   KILN_ASSIGN_OR_RETURN(StatementList list, read_statements(text));
//
// Private to the text layer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/instructions.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {

struct Statement {
  std::string name;                // keyword as written
  std::vector<std::string> flags;  // "--from=x", unquoted
  // The words behind the flags. ENV and LABEL: name, value, "=" (or "" for the old form) by turns.
  // RUN, CMD, ENTRYPOINT in shell form: one word, the whole text. ONBUILD: those of the trigger,
  // its keyword first.
  std::vector<std::string> words;
  bool json = false;  // the words came from a JSON array
  std::vector<Heredoc> heredocs;
  std::string text;  // the statement on one line, without heredoc bodies
  int first_line = 0;
  int last_line = 0;
  std::vector<std::string> comments;
  std::unique_ptr<Statement> trigger;  // of ONBUILD

  Ranges ranges() const { return lines(first_line, last_line); }
};

struct StatementList {
  std::vector<Statement> statements;     // at least one
  std::vector<int> empty_continuations;  // last lines of the statements that have one
  char escape = '\\';
};

// The whole file. InvalidArgument with ranges: a directive given twice, a line of 64 KiB, an open
// heredoc, words that do not fit the keyword's form, no instruction at all.
Result<StatementList> read_statements(std::string_view text);

// One statement from its joined line; used for the file's lines and for ONBUILD's triggers.
Result<Statement> parse_statement(std::string_view line, char escape);

// The heredoc that a word such as `<<EOF`, `3<<-"END"` announces, or nothing.
std::optional<Heredoc> heredoc_of_word(std::string_view word);

}  // namespace kiln::frontend::dockerfile
