// Lint rules that need the environment or a base image.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/platform.h"
#include "frontend/dockerfile/expand.h"
#include "frontend/dockerfile/lint.h"
#include "frontend/dockerfile/lower/stage.h"

namespace kiln::frontend::dockerfile {

using Names = std::set<std::string, std::less<>>;

// A FROM that names an arg nobody declared.
void check_args_of_from(const graph::build::EnvList& env, const OutlineRecord& outline, const Names& unset,
                        const Ranges& ranges, Linter& lint);
// --platform=$TARGETPLATFORM, and a platform written out.
void check_platform_flag(const Stage& stage, const Expansion& expansion, const Environment& env, Linter& lint);
// FROMs that cannot work with the default values of their args.
void check_default_bases(const std::vector<Stage>& stages, const WordLexer& lexer, const graph::build::EnvList& env,
                         const std::vector<Instruction>& args, Linter& lint);
void check_base_platform(const std::string& image, const Platform& expected, const Platform& actual,
                         const Ranges& ranges, Linter& lint);
// Variables used but not defined.
void check_unset(const Ranges& ranges, const std::vector<ArgEntry>& build_args, const Environment& env, Names unset,
                 Linter& lint);
// A second CMD, ENTRYPOINT or HEALTHCHECK; points at the one that no longer counts.
void check_once(Once& once, const std::string& keyword, const Ranges& ranges, Linter& lint);

// ARGs that say something to the build and are no environment.
bool is_build_only_arg(std::string_view name);

}  // namespace kiln::frontend::dockerfile
