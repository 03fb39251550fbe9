// From a statement to a typed instruction: flags, number of words, forms. Private to the text
// layer.
#pragma once

#include <variant>

#include "base/status.h"
#include "frontend/dockerfile/statement.h"

namespace kiln::frontend::dockerfile {

// Without place: the caller adds the statement's ranges to an error.
Result<decltype(Instruction::body)> parse_body(const Statement& statement, Keyword keyword);
Result<Stage> parse_from(const Statement& statement);
// RUN and its flags.
Result<Run> parse_run(const Statement& statement);
// The command of RUN, CMD, ENTRYPOINT from a statement's words.
CommandLine command_line(const Statement& statement);
// The text behind "`name` " in the comments; empty when none describes it.
std::string doc_comment(const std::vector<std::string>& comments, std::string_view name);

}  // namespace kiln::frontend::dockerfile
