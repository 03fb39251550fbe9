// A whole file: statements to instructions, instructions to stages, and the rules that look at the
// file as text.
#include <fmt/format.h>

#include "base/letters.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/instruction_parse.h"
#include "frontend/dockerfile/instructions.h"

namespace kiln::frontend::dockerfile {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

Status unknown_instruction(std::string_view name) {
  return word_fault(name, fmt::format("unknown instruction: {}{}", name,
                                      suggestion_suffix(name, keyword_names(), MatchCase::kInsensitive)));
}

// The comment above an ARG or a named FROM should describe it by name.
void check_description(const Statement& statement, std::string_view keyword, const std::vector<std::string>& names,
                       Linter& linter) {
  if (statement.comments.empty() || names.empty()) return;
  std::string_view described = split_once(statement.comments.back(), ' ').first;
  if (std::find(names.begin(), names.end(), described) != names.end()) return;
  linter.report(lint_rules::kInvalidDefinitionDescription, statement.ranges(),
                lint_text::invalid_definition_description(keyword, names.size() > 1 ? "<arg_key>" : names[0]));
}

void check_from_casing(const Statement& statement, Linter& linter) {
  if (statement.words.size() < 3) return;
  const std::string& as = statement.words[1];
  if (statement.words.size() == 3 && statement.words[2] != to_lower(statement.words[2])) {
    linter.report(lint_rules::kStageNameCasing, statement.ranges(), lint_text::stage_name_casing(statement.words[2]));
  }
  bool lower = statement.name == to_lower(statement.name);
  bool upper = statement.name == to_upper(statement.name);
  if ((lower && as != to_lower(as)) || (upper && !lower && as != to_upper(as))) {
    linter.report(lint_rules::kFromAsCasing, statement.ranges(), lint_text::from_as_casing(statement.name, as));
  }
}

void check_stage_names(const std::vector<Stage>& stages, Linter& linter) {
  std::set<std::string> seen;
  for (const Stage& stage : stages) {
    if (stage.name.empty()) continue;
    if (stage.name == "scratch" || stage.name == "context") {
      linter.report(lint_rules::kReservedStageName, stage.ranges, lint_text::reserved_stage_name(stage.name));
    }
    if (!seen.insert(stage.name).second) {
      linter.report(lint_rules::kDuplicateStageName, stage.ranges, lint_text::duplicate_stage_name(stage.name));
    }
  }
}

// Every keyword of the stages, with its place.
template <typename Visit>
void each_keyword(const std::vector<Stage>& stages, Visit visit) {
  for (const Stage& stage : stages) {
    visit(stage.from_word, stage.ranges);
    for (const Instruction& step : stage.steps) visit(step.name, step.ranges);
  }
}

void check_keyword_casing(const std::vector<Stage>& stages, Linter& linter) {
  int lower = 0, upper = 0;
  each_keyword(stages, [&](const std::string& word, const Ranges&) {
    if (word == to_lower(word)) {
      ++lower;
    } else if (word == to_upper(word)) {
      ++upper;
    }
  });
  bool majority_lower = lower > upper;
  each_keyword(stages, [&](const std::string& word, const Ranges& ranges) {
    if (word == (majority_lower ? to_lower(word) : to_upper(word))) return;
    linter.report(lint_rules::kConsistentInstructionCasing, ranges,
                  lint_text::consistent_instruction_casing(word, majority_lower ? "lowercase" : "uppercase"));
  });
}

Result<Instruction> make_instruction(const Statement& statement, Keyword keyword) {
  KILN_ASSIGN_OR_RETURN(auto body, parse_body(statement, keyword));
  return Instruction{statement.name, std::string(trim_blanks(statement.text)), statement.ranges(), statement.comments,
                     std::move(body)};
}

class FileBuilder {
 public:
  explicit FileBuilder(Linter& linter) : linter_(linter) {}

  Status add(const Statement& statement) {
    std::optional<Keyword> keyword = find_keyword(statement.name);
    if (!keyword) {
      return wrapped(statement, unknown_instruction(statement.name));
    }
    Linter linter = linter_.with_comments(statement.comments);
    return *keyword == Keyword::kFrom ? add_stage(statement, linter) : add_step(statement, *keyword, linter);
  }

  Result<Dockerfile> finish(char escape) {
    check_stage_names(file_.stages, linter_);
    check_keyword_casing(file_.stages, linter_);
    file_.escape = escape;
    return std::move(file_);
  }

 private:
  static Status wrapped(const Statement& statement, const Status& status) {
    return with_ranges(annotate(status, fmt::format("dockerfile parse error on line {}", statement.first_line)),
                       statement.ranges());
  }

  Status add_stage(const Statement& statement, Linter& linter) {
    check_from_casing(statement, linter);
    Result<Stage> stage = parse_from(statement);
    if (!stage.ok()) return wrapped(statement, stage.status());
    if (!stage->name.empty()) check_description(statement, "FROM", {stage->name}, linter);
    file_.stages.push_back(*std::move(stage));
    return ok();
  }

  Status add_step(const Statement& statement, Keyword keyword, Linter& linter) {
    if (keyword == Keyword::kMaintainer) {
      linter.report(lint_rules::kMaintainerDeprecated, statement.ranges(), lint_text::maintainer_deprecated());
    }
    Result<Instruction> step = make_instruction(statement, keyword);
    if (!step.ok()) return wrapped(statement, step.status());
    if (const Arg* arg = std::get_if<Arg>(&step->body)) {
      std::vector<std::string> names;
      for (const ArgEntry& entry : arg->entries) names.push_back(entry.key);
      check_description(statement, "ARG", names, linter);
    }
    if (!file_.stages.empty()) {
      file_.stages.back().steps.push_back(*std::move(step));
    } else if (keyword == Keyword::kArg) {
      file_.meta_args.push_back(*std::move(step));
    } else {
      return with_ranges(word_fault(statement.name, "no build stage in current context"), statement.ranges());
    }
    return ok();
  }

  Linter& linter_;
  Dockerfile file_;
};

}  // namespace

Result<Dockerfile> parse_dockerfile(std::string_view text, Linter& linter) {
  if (text.empty()) return fault("the Dockerfile cannot be empty");
  KILN_ASSIGN_OR_RETURN(StatementList list, read_statements(text));
  for (int line : list.empty_continuations) {
    linter.report(lint_rules::kNoEmptyContinuation, lines(line, line), lint_text::no_empty_continuation());
  }
  FileBuilder builder(linter);
  for (const Statement& statement : list.statements) KILN_RETURN_IF_ERROR(builder.add(statement));
  return builder.finish(list.escape);
}

Result<Instruction> parse_trigger(std::string_view payload, const Ranges& ranges) {
  Result<StatementList> list = read_statements(payload);
  if (!list.ok()) return with_ranges(without_ranges(list.status()), ranges);
  if (list->statements.size() != 1) {
    return with_ranges(fault(fmt::format("onbuild trigger should be a single expression: {}", payload)), ranges);
  }
  const Statement& statement = list->statements[0];
  std::optional<Keyword> keyword = find_keyword(statement.name);
  if (!keyword) {
    return with_ranges(unknown_instruction(statement.name), ranges);
  }
  if (*keyword == Keyword::kFrom) {
    return with_ranges(fault(fmt::format("{} isn't allowed as an ONBUILD trigger", keyword_name(*keyword))), ranges);
  }
  Result<Instruction> step = make_instruction(statement, *keyword);
  if (!step.ok()) return with_ranges(step.status(), ranges);
  step->ranges = ranges;
  return step;
}

}  // namespace kiln::frontend::dockerfile
