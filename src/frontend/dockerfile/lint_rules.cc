// The rules' names, sentences and addresses. Clients match on them: change nothing lightly.
#include <fmt/format.h>

#include "base/value.h"
#include "frontend/dockerfile/lint.h"

namespace kiln::frontend::dockerfile {

#define KILN_RULE_URL(page) "https://docs.docker.com/go/dockerfile/rule/" page "/"

namespace lint_rules {
const LintRule kStageNameCasing = {"StageNameCasing", "Stage names should be lowercase",
                                   KILN_RULE_URL("stage-name-casing")};
const LintRule kFromAsCasing = {"FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword",
                                KILN_RULE_URL("from-as-casing")};
const LintRule kNoEmptyContinuation = {"NoEmptyContinuation",
                                       "Empty continuation lines will become errors in a future release",
                                       KILN_RULE_URL("no-empty-continuation")};
const LintRule kConsistentInstructionCasing = {
    "ConsistentInstructionCasing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
    KILN_RULE_URL("consistent-instruction-casing")};
const LintRule kDuplicateStageName = {"DuplicateStageName", "Stage names should be unique",
                                      KILN_RULE_URL("duplicate-stage-name")};
const LintRule kReservedStageName = {"ReservedStageName", "Reserved words should not be used as stage names",
                                     KILN_RULE_URL("reserved-stage-name")};
const LintRule kJSONArgsRecommended = {"JSONArgsRecommended",
                                       "JSON arguments recommended for ENTRYPOINT/CMD to prevent "
                                       "unintended behavior related to OS signals",
                                       KILN_RULE_URL("json-args-recommended")};
const LintRule kMaintainerDeprecated = {
    "MaintainerDeprecated", "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    KILN_RULE_URL("maintainer-deprecated")};
const LintRule kUndefinedArgInFrom = {"UndefinedArgInFrom", "FROM command must use declared ARGs",
                                      KILN_RULE_URL("undefined-arg-in-from")};
const LintRule kWorkdirRelativePath = {"WorkdirRelativePath",
                                       "Relative workdir without an absolute workdir declared "
                                       "within the build can have unexpected results if the base "
                                       "image changes",
                                       KILN_RULE_URL("workdir-relative-path")};
const LintRule kUndefinedVar = {"UndefinedVar", "Variables should be defined before their use",
                                KILN_RULE_URL("undefined-var")};
const LintRule kMultipleInstructionsDisallowed = {
    "MultipleInstructionsDisallowed", "Multiple instructions of the same type should not be used in the same stage",
    KILN_RULE_URL("multiple-instructions-disallowed")};
const LintRule kLegacyKeyValueFormat = {"LegacyKeyValueFormat",
                                        "Legacy key/value format with whitespace separator should not be used",
                                        KILN_RULE_URL("legacy-key-value-format")};
const LintRule kInvalidBaseImagePlatform = {"InvalidBaseImagePlatform",
                                            "Base image platform does not match expected target platform", ""};
const LintRule kRedundantTargetPlatform = {"RedundantTargetPlatform",
                                           "Setting platform to predefined $TARGETPLATFORM in FROM "
                                           "is redundant as this is the default behavior",
                                           KILN_RULE_URL("redundant-target-platform")};
const LintRule kSecretsUsedInArgOrEnv = {"SecretsUsedInArgOrEnv",
                                         "Sensitive data should not be used in the ARG or ENV commands",
                                         KILN_RULE_URL("secrets-used-in-arg-or-env")};
const LintRule kInvalidDefaultArgInFrom = {
    "InvalidDefaultArgInFrom", "Default value for global ARG results in an empty or invalid base image name",
    KILN_RULE_URL("invalid-default-arg-in-from")};
const LintRule kFromPlatformFlagConstDisallowed = {"FromPlatformFlagConstDisallowed",
                                                   "FROM --platform flag should not use a constant value",
                                                   KILN_RULE_URL("from-platform-flag-const-disallowed")};
const LintRule kCopyIgnoredFile = {"CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore",
                                   KILN_RULE_URL("copy-ignored-file")};
const LintRule kInvalidDefinitionDescription = {
    "InvalidDefinitionDescription",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> "
    "<description>`. If this is not "
    "intended to be a description comment, add an empty line or comment between the instruction "
    "and the comment.",
    KILN_RULE_URL("invalid-definition-description"), true};
const LintRule kExposeProtoCasing = {"ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase",
                                     KILN_RULE_URL("expose-proto-casing")};
const LintRule kExposeInvalidFormat = {"ExposeInvalidFormat",
                                       "IP address and host-port mapping should not be used in "
                                       "EXPOSE instruction. This will become an error in a future "
                                       "release",
                                       KILN_RULE_URL("expose-invalid-format")};
}  // namespace lint_rules

const std::vector<const LintRule*>& all_lint_rules() {
  using namespace lint_rules;
  static const std::vector<const LintRule*> all = {&kStageNameCasing,
                                                   &kFromAsCasing,
                                                   &kNoEmptyContinuation,
                                                   &kConsistentInstructionCasing,
                                                   &kDuplicateStageName,
                                                   &kReservedStageName,
                                                   &kJSONArgsRecommended,
                                                   &kMaintainerDeprecated,
                                                   &kUndefinedArgInFrom,
                                                   &kWorkdirRelativePath,
                                                   &kUndefinedVar,
                                                   &kMultipleInstructionsDisallowed,
                                                   &kLegacyKeyValueFormat,
                                                   &kInvalidBaseImagePlatform,
                                                   &kRedundantTargetPlatform,
                                                   &kSecretsUsedInArgOrEnv,
                                                   &kInvalidDefaultArgInFrom,
                                                   &kFromPlatformFlagConstDisallowed,
                                                   &kCopyIgnoredFile,
                                                   &kInvalidDefinitionDescription,
                                                   &kExposeProtoCasing,
                                                   &kExposeInvalidFormat};
  return all;
}

namespace lint_text {

std::string stage_name_casing(std::string_view stage) {
  return fmt::format("Stage name '{}' should be lowercase", stage);
}
std::string from_as_casing(std::string_view from, std::string_view as) {
  return fmt::format("'{}' and '{}' keywords' casing do not match", as, from);
}
std::string no_empty_continuation() { return "Empty continuation line"; }
std::string consistent_instruction_casing(std::string_view command, std::string_view casing) {
  return fmt::format("Command '{}' should match the case of the command majority ({})", command, casing);
}
std::string duplicate_stage_name(std::string_view stage) {
  return fmt::format("Duplicate stage name {}, stage names should be unique", quote(stage));
}
std::string reserved_stage_name(std::string_view stage) {
  return fmt::format("Stage name should not use the same name as reserved stage {}", quote(stage));
}
std::string json_args_recommended(std::string_view instruction) {
  return fmt::format("JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                     instruction);
}
std::string maintainer_deprecated() { return "Maintainer instruction is deprecated in favor of using label"; }
std::string undefined_arg_in_from(std::string_view arg, std::string_view suggestion) {
  return fmt::format("FROM argument '{}' is not declared{}", arg,
                     suggestion.empty() ? "" : fmt::format(" (did you mean {}?)", suggestion));
}
std::string workdir_relative_path(std::string_view path) {
  return fmt::format("Relative workdir {} can have unexpected results if the base image changes", quote(path));
}
std::string undefined_var(std::string_view name, std::string_view suggestion) {
  return fmt::format("Usage of undefined variable '${}'{}", name,
                     suggestion.empty() ? "" : fmt::format(" (did you mean ${}?)", suggestion));
}
std::string multiple_instructions_disallowed(std::string_view instruction) {
  return fmt::format(
      "Multiple {} instructions should not be used in the same stage because only the last one "
      "will be used",
      instruction);
}
std::string legacy_key_value_format(std::string_view instruction) {
  return fmt::format("\"{0} key=value\" should be used instead of legacy \"{0} key value\" format", instruction);
}
std::string invalid_base_image_platform(std::string_view image, std::string_view expected, std::string_view actual) {
  return fmt::format("Base image {} was pulled with platform {}, expected {} for current build", image, quote(actual),
                     quote(expected));
}
std::string redundant_target_platform(std::string_view variable) {
  return fmt::format("Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                     variable);
}
std::string secrets_used_in_arg_or_env(std::string_view instruction, std::string_view key) {
  return fmt::format("Do not use ARG or ENV instructions for sensitive data ({} {})", instruction, quote(key));
}
std::string invalid_default_arg_in_from(std::string_view base) {
  return fmt::format("Default value for ARG {} results in empty or invalid base image name", base);
}
std::string from_platform_flag_const_disallowed(std::string_view platform) {
  return fmt::format("FROM --platform flag should not use constant value {}", quote(platform));
}
std::string copy_ignored_file(std::string_view command, std::string_view file) {
  return fmt::format("Attempting to {} file {} that is excluded by .dockerignore", command, quote(file));
}
std::string invalid_definition_description(std::string_view instruction, std::string_view name) {
  return fmt::format("Comment for {} should follow the format: `# {} <description>`", instruction, name);
}
std::string expose_proto_casing(std::string_view port) {
  return fmt::format("Defined protocol '{}' in EXPOSE instruction should be lowercase", port);
}
std::string expose_invalid_format(std::string_view port) {
  return fmt::format("EXPOSE instruction should not define an IP address or host-port mapping, found '{}'", port);
}

}  // namespace lint_text
}  // namespace kiln::frontend::dockerfile
