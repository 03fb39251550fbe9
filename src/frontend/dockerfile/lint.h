// The rules a Dockerfile is checked against, and the Linter that a parse or a lowering reports to.
//
//   Linter linter(*parse_lint_options("skip=JSONArgsRecommended;error=true"), warn);
//   linter.report(lint_rules::kStageNameCasing, ranges, lint_text::stage_name_casing("Base"));
//   Linter here = linter.with_comments(step.comments);   // `# check=skip=…` above one instruction
//   KILN_RETURN_IF_ERROR(linter.verdict());              // an error when error=true and a rule
//   fired
//
// Names, messages and URLs of the rules are BuildKit's, because clients and editors match on them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {

struct LintRule {
  std::string_view name;
  std::string_view description;
  std::string_view url;
  bool experimental = false;  // silent unless asked for
};

namespace lint_rules {
extern const LintRule kStageNameCasing, kFromAsCasing, kNoEmptyContinuation, kConsistentInstructionCasing,
    kDuplicateStageName, kReservedStageName, kJSONArgsRecommended, kMaintainerDeprecated, kUndefinedArgInFrom,
    kWorkdirRelativePath, kUndefinedVar, kMultipleInstructionsDisallowed, kLegacyKeyValueFormat,
    kInvalidBaseImagePlatform, kRedundantTargetPlatform, kSecretsUsedInArgOrEnv, kInvalidDefaultArgInFrom,
    kFromPlatformFlagConstDisallowed, kCopyIgnoredFile, kInvalidDefinitionDescription, kExposeProtoCasing,
    kExposeInvalidFormat;
}  // namespace lint_rules
// All rules, in documentation order.
const std::vector<const LintRule*>& all_lint_rules();

// The sentence a rule reports. Arguments are what the sentence names.
namespace lint_text {
std::string stage_name_casing(std::string_view stage);
std::string from_as_casing(std::string_view from, std::string_view as);
std::string no_empty_continuation();
std::string consistent_instruction_casing(std::string_view command, std::string_view casing);
std::string duplicate_stage_name(std::string_view stage);
std::string reserved_stage_name(std::string_view stage);
std::string json_args_recommended(std::string_view instruction);
std::string maintainer_deprecated();
std::string undefined_arg_in_from(std::string_view arg, std::string_view suggestion);
std::string workdir_relative_path(std::string_view path);
std::string undefined_var(std::string_view name, std::string_view suggestion);
std::string multiple_instructions_disallowed(std::string_view instruction);
std::string legacy_key_value_format(std::string_view instruction);
std::string invalid_base_image_platform(std::string_view image, std::string_view expected, std::string_view actual);
std::string redundant_target_platform(std::string_view variable);
std::string secrets_used_in_arg_or_env(std::string_view instruction, std::string_view key);
std::string invalid_default_arg_in_from(std::string_view base);
std::string from_platform_flag_const_disallowed(std::string_view platform);
std::string copy_ignored_file(std::string_view command, std::string_view file);  // "Copy" or "Add"
std::string invalid_definition_description(std::string_view instruction, std::string_view name);
std::string expose_proto_casing(std::string_view port);
std::string expose_invalid_format(std::string_view port);
}  // namespace lint_text

struct LintOptions {
  bool skip_all = false;
  std::set<std::string, std::less<>> skip;
  bool experimental_all = false;
  std::set<std::string, std::less<>> experimental;
  bool error = false;  // findings fail the build
};
// The value of `# check=` or of BUILDKIT_DOCKERFILE_CHECK:
// "skip=A,B|all;error=true;experimental=C|all".
Result<LintOptions> parse_lint_options(std::string_view text);
// The options in force for a file: the build argument when given, else the file's directive.
Result<LintOptions> lint_options_for(std::string_view text, std::optional<std::string_view> build_arg);

// Copies share the record of rules that fired. One thread at a time.
class Linter {
 public:
  // Called for each finding that is not silenced.
  using Warn = std::function<void(const LintRule& rule, const std::string& message, const Ranges& ranges)>;

  // A linter without `warn` neither reports nor records.
  explicit Linter(LintOptions options = {}, Warn warn = nullptr);

  void report(const LintRule& rule, const Ranges& ranges, const std::string& message);
  // This linter with the `check=` comment among the given ones (if any) added to its options.
  Linter with_comments(const std::vector<std::string>& comments) const;
  // InvalidArgument "lint violation found for rules: A, B" when findings are errors and there were
  // any.
  Status verdict() const;

 private:
  LintOptions options_;
  Warn warn_;
  std::shared_ptr<std::set<std::string, std::less<>>> fired_;
};

// Whether an ARG or ENV name looks like a credential (SecretsUsedInArgOrEnv).
bool looks_like_secret(std::string_view name);

// "Rule: message (line n)"; no line when 0.
std::string lint_line(std::string_view rule, std::string_view message, int line);

// The option nearest to `word` when it is near enough (fewer than three edits) and not equal; empty
// otherwise. Without case the answer takes the case of the word.
enum class MatchCase { kSensitive, kInsensitive };
std::string suggest(std::string_view word, const std::vector<std::string>& options, MatchCase match_case);
// " (did you mean X?)" or nothing.
std::string suggestion_suffix(std::string_view word, const std::vector<std::string>& options, MatchCase match_case);

}  // namespace kiln::frontend::dockerfile
