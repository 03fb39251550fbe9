// Arguments that hold before the first FROM.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "frontend/dockerfile/expand.h"
#include "frontend/dockerfile/instructions.h"
#include "frontend/dockerfile/lower/stage.h"
#include "graph/build/env_list.h"
#include "graph/op.h"

namespace kiln::frontend::dockerfile {

using BuildArgs = std::map<std::string, std::string>;

// BUILDPLATFORM, TARGETOS and so on, each overridden by a build arg of its name.
graph::build::EnvList platform_args(const Platform& build, const Platform& target, const BuildArgs& overrides,
                                    const std::string& target_stage);

struct GlobalArgs {
  graph::build::EnvList env;
  std::map<std::string, ArgInfo, std::less<>> infos;
};
// `env` with the ARGs in front of the first FROM. An error has the ranges of its ARG.
Result<GlobalArgs> read_global_args(graph::build::EnvList env, const WordLexer& lexer,
                                    const std::vector<Instruction>& args, const BuildArgs& build_args);

// http_proxy and the like, in any case; nothing when none is given.
std::optional<graph::ProxyEnv> proxy_from(const BuildArgs& build_args);

}  // namespace kiln::frontend::dockerfile
