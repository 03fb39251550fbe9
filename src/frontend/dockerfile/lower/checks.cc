#include "frontend/dockerfile/lower/checks.h"

#include "base/reference.h"
#include "frontend/dockerfile/lower/global_args.h"
#include "frontend/dockerfile/lower/naming.h"

namespace kiln::frontend::dockerfile {

bool is_build_only_arg(std::string_view name) {
  return name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE";
}

void check_args_of_from(const graph::build::EnvList& env, const OutlineRecord& outline, const Names& unset,
                        const Ranges& ranges, Linter& lint) {
  if (unset.empty()) return;
  std::vector<std::string> known = env.names();
  for (const auto& [name, info] : outline.args) known.push_back(name);
  for (const auto& name : unset) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    lint.report(lint_rules::kUndefinedArgInFrom, ranges,
                lint_text::undefined_arg_in_from(name, suggest(name, known, MatchCase::kSensitive)));
  }
}

void check_platform_flag(const Stage& stage, const Expansion& expansion, const Environment& env, Linter& lint) {
  if (expansion.used.size() == 1 && expansion.unset.empty() && expansion.used.contains("TARGETPLATFORM") &&
      expansion.text == env.get("TARGETPLATFORM").value_or("")) {
    lint.report(lint_rules::kRedundantTargetPlatform, stage.ranges,
                lint_text::redundant_target_platform(stage.platform));
  }
  if (!expansion.used.empty() || !expansion.unset.empty()) return;
  auto platform = Platform::parse(expansion.text);
  if (!platform.ok()) return;  // fails later, with a better message
  auto named_after = [&](const std::string& part) { return stage.name.find(part) != std::string::npos; };
  if (named_after(platform->os) || named_after(platform->architecture)) return;
  lint.report(lint_rules::kFromPlatformFlagConstDisallowed, stage.ranges,
              lint_text::from_platform_flag_const_disallowed(expansion.text));
}

void check_default_bases(const std::vector<Stage>& stages, const WordLexer& lexer, const graph::build::EnvList& env,
                         const std::vector<Instruction>& args, Linter& lint) {
  auto defaults = read_global_args(env, lexer, args, {});
  if (!defaults.ok()) return;  // the build fails of the same
  for (const auto& stage : stages) {
    auto base = lexer.expand_text(stage.base, StateEnvironment(defaults->env));
    if (!base.ok()) return;
    if (!Reference::parse(*base).ok()) {
      lint.report(lint_rules::kInvalidDefaultArgInFrom, stage.ranges,
                  lint_text::invalid_default_arg_in_from(stage.base));
    }
  }
}

void check_base_platform(const std::string& image, const Platform& expected, const Platform& actual,
                         const Ranges& ranges, Linter& lint) {
  if (expected.os == actual.os && expected.architecture == actual.architecture) return;
  lint.report(
      lint_rules::kInvalidBaseImagePlatform, ranges,
      lint_text::invalid_base_image_platform(image, expected.normalized().str_full(), actual.normalized().str_full()));
}

void check_unset(const Ranges& ranges, const std::vector<ArgEntry>& build_args, const Environment& env, Names unset,
                 Linter& lint) {
  for (const auto& arg : build_args) unset.erase(arg.key);
  if (unset.empty()) return;
  const auto known = env.names();
  for (const auto& name : unset) {
    if (is_build_only_arg(name)) continue;
    lint.report(lint_rules::kUndefinedVar, ranges,
                lint_text::undefined_var(name, suggest(name, known, MatchCase::kSensitive)));
  }
}

void check_once(Once& once, const std::string& keyword, const Ranges& ranges, Linter& lint) {
  if (once.set) {
    lint.report(lint_rules::kMultipleInstructionsDisallowed, once.ranges,
                lint_text::multiple_instructions_disallowed(keyword));
  }
  once = {true, ranges};
}

}  // namespace kiln::frontend::dockerfile
