// What progress and history call a step.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "content/image_config.h"
#include "frontend/dockerfile/expand.h"
#include "frontend/dockerfile/lower/stage.h"
#include "graph/build/env_list.h"
#include "graph/build/state.h"

namespace kiln::frontend::dockerfile {

// The environment of a state, for expansion.
class StateEnvironment final : public Environment {
 public:
  explicit StateEnvironment(graph::build::EnvList env) : env_(std::move(env)) {}
  std::optional<std::string> get(std::string_view name) const override { return env_.get(name); }
  std::vector<std::string> names() const override { return env_.names(); }

 private:
  graph::build::EnvList env_;
};

// "[linux/arm64 build 2/5] RUN make": advances the stage's counter. `env` tells the TARGET… of a
// cross build.
std::string prefixed_name(StageState& stage, std::string_view text, bool show_platform,
                          const std::optional<Platform>& platform, const graph::build::EnvList& env);
// The instruction with its variables replaced (as written when they cannot be) and its keyword in
// upper case.
std::string shown_command(const WordLexer& lexer, std::string_view code, const Environment& env);
std::string upper_keyword(std::string_view text);

// Adds a line to the image's history. `layer`: the step makes a layer; `mark`: a step of ours, which
// gets " # buildkit".
enum class Layer { kNone, kMade };
enum class Mark { kNone, kBuildkit };
void add_history(StageState& stage, std::string created_by, Layer layer, Mark mark, const std::optional<Time>& epoch);

// Go's %q and %v of a list: ["a" "b"] and [a b].
std::string quoted_list(const std::vector<std::string>& items);
std::string plain_list(const std::vector<std::string>& items);
// Go's Duration.String: "1m30s", "0s".
std::string go_duration(Duration duration);

// The command of a shell form behind the stage's shell.
std::vector<std::string> with_shell(const content::ImageConfig& image, const std::vector<std::string>& args);

}  // namespace kiln::frontend::dockerfile
