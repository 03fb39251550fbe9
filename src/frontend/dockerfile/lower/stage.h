// A stage on its way from instructions to a graph.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/platform.h"
#include "content/image_config.h"
#include "frontend/dockerfile/contexts.h"
#include "frontend/dockerfile/instructions.h"
#include "graph/build/state.h"

namespace kiln::frontend::dockerfile {

struct StageState;

// An instruction with the stages it takes files from: COPY --from has one source, RUN one for each
// mount (the stage "scratch" for mounts without from).
struct Step {
  Instruction instruction;
  std::vector<StageState*> sources;
  bool on_build = false;
};

// Paths that are used of a tree; shared by a stage and the stages built on it, and still growing
// while deferred sources already refer to it.
using PathSet = std::shared_ptr<std::set<std::string>>;

// What the outline of a target tells.
struct ArgInfo {
  ArgEntry definition;
  std::string value;
  std::set<std::string, std::less<>> needs;  // other global args its default uses
  Ranges ranges;
};
struct SessionInfo {  // a secret or an ssh socket
  bool required = false;
  Ranges ranges;
};
struct OutlineRecord {
  std::map<std::string, ArgInfo, std::less<>> args;
  std::set<std::string, std::less<>> used_args;
  std::map<std::string, SessionInfo> secrets;
  std::map<std::string, SessionInfo> ssh;
};

// Where the previous CMD, ENTRYPOINT or HEALTHCHECK of a stage stands; only the last counts.
struct Once {
  bool set = false;
  Ranges ranges;
};

// Owned by a Lowering; pointers between stages stay valid as long as it lives. One thread, except
// that base images of different stages are looked up in parallel.
struct StageState {
  Stage stage;
  std::string name;  // as progress shows it; "" when the file has one stage only
  graph::build::State state;
  content::ImageConfig image;
  std::optional<content::ImageConfig> base_image;  // as it came, never changed
  std::optional<Platform> platform;
  std::optional<std::pair<std::string, Platform>> base_to_check;  // name as written, platform asked for
  std::optional<std::string> context_name;                        // the stage is replaced by a context of that name
  StageState* base = nullptr;                                     // FROM another stage
  std::map<StageState*, Ranges> needs;  // stages it takes files from → the instruction that says so
  std::vector<Step> steps;
  std::vector<ArgEntry> build_args;
  std::set<std::string> context_paths;
  PathSet paths = std::make_shared<std::set<std::string>>();
  // What a deferred source of this stage reads when the graph is made.
  std::shared_ptr<PathSet> paths_cell = std::make_shared<PathSet>(paths);

  bool lowered = false;   // its instructions have become a graph
  bool resolved = false;  // its base image is known
  bool triggers_taken = false;
  bool unregistered = false;  // made up for a reference to an image
  bool ignore_cache = false;
  bool scan_stage = false;
  bool scan_context = false;
  bool workdir_set = false;  // by this file

  int step_index = 0;
  int step_total = 0;
  bool step_on_build = false;

  Once entrypoint;
  Once cmd;
  Once healthcheck;
  OutlineRecord outline;
};

// Takes over what the base stage has become so far; nothing without a base stage.
void inherit(StageState& stage);

}  // namespace kiln::frontend::dockerfile
