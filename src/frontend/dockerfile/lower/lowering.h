// From a parsed Dockerfile to the graph of one target on one platform.
//
//   Lowering lowering(options);
//   KILN_ASSIGN_OR_RETURN(StageState* target, lowering.run(stop));
//   KILN_ASSIGN_OR_RETURN(Definition def, graph::build::marshal(target->state, lowering.marshal_options()));
//
// Steps: read text → global args → stages → target → what needs what → base images (in parallel) →
// triggers of the bases → instructions one by one (lower/<instruction>.cc, table in lower/steps.cc)
// → final image config. Private to the dockerfile folder; reference: Dockerfile reference.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/patterns.h"
#include "frontend/dockerfile/contexts.h"
#include "frontend/dockerfile/expand.h"
#include "frontend/dockerfile/lint.h"
#include "frontend/dockerfile/lower/stage.h"
#include "frontend/dockerfile/request.h"
#include "graph/build/env_list.h"

namespace kiln::frontend::dockerfile {

enum class Reach { kTarget, kAllStages };

struct LowerOptions {
  Contexts* contexts = nullptr;
  std::shared_ptr<const graph::SourceInfo> text;
  std::optional<Platform> target_platform;
  Linter::Warn warn;
  Reach reach = Reach::kTarget;
};

// One thread; must live until the graph has been marshalled.
class Lowering {
 public:
  explicit Lowering(LowerOptions options);
  Lowering(const Lowering&) = delete;
  Lowering& operator=(const Lowering&) = delete;

  // The lowered target stage, owned by this object. InvalidArgument with ranges for faults of the
  // file; errors of the bridge as they come. Blocks.
  Result<StageState*> run(std::stop_token stop);
  // The target and all stages it needs.
  std::vector<StageState*> reachable(StageState* target) const;
  graph::build::MarshalOptions marshal_options() const;

  // ---- what the instructions look at ----
  const Request& request() const { return options_.contexts->request(); }
  Contexts& contexts() { return *options_.contexts; }
  const std::shared_ptr<const graph::SourceInfo>& text() const { return options_.text; }
  const graph::CapSet& caps() const { return options_.contexts->bridge().options().llb_caps; }
  const WordLexer& lexer() const { return *lexer_; }
  char escape() const { return file_.escape; }
  const Platform& target_platform() const { return target_platform_; }
  const graph::build::EnvList& global_args() const { return global_args_; }
  const std::map<std::string, std::string>& build_args() const { return build_args_; }
  const std::optional<graph::ProxyEnv>& proxy() const { return proxy_; }
  const std::optional<Time>& epoch() const { return epoch_; }
  const std::optional<PatternMatcher>& ignored() const { return ignored_; }
  const graph::build::State& build_context() const { return build_context_; }
  const std::vector<Stage>& stages_of_file() const { return file_.stages; }

 private:
  Status read_text();
  Status set_epoch(std::stop_token stop);
  Status make_stages();
  Status make_stage(std::size_t index);
  Status read_stage_platform(StageState& stage, std::set<std::string, std::less<>>& used, Linter& lint);
  Result<StageState*> find_target() const;
  Status link_stages();
  Result<std::vector<StageState*>> resolve_stages(StageState* target, std::stop_token stop);
  Status resolve_bases(StageState* target, std::stop_token stop);
  Status resolve_base(StageState& stage, bool reachable, std::stop_token stop);
  Result<bool> use_context(StageState& stage, const Platform& platform, std::stop_token stop);
  Result<bool> look_up_base(StageState& stage, const std::string& written, Platform& platform, std::stop_token stop);
  Result<bool> take_triggers(StageState& stage);
  Result<Step> make_step(Instruction instruction);
  Result<std::vector<StageState*>> sources_of(const Instruction& instruction);
  Status read_ignore_patterns(std::stop_token stop);
  Status lower_stages(const std::vector<StageState*>& reachable, std::stop_token stop);
  Status lower_stage(StageState& stage, std::stop_token stop);
  Status start_stage(StageState& stage);
  void note_scans(StageState& stage);
  Status finish(StageState& target, std::stop_token stop);

  StageState* add_stage(std::unique_ptr<StageState> stage);
  void register_stage(StageState* stage);
  StageState* unregistered_stage(const std::string& image, const Ranges& ranges);
  StageState* stage_named(std::string_view name) const;
  std::vector<std::string> stage_names() const;
  NamedOptions context_options(const StageState& stage, const std::optional<Platform>& platform) const;

  LowerOptions options_;
  Dockerfile file_;
  std::unique_ptr<Linter> lint_;
  std::unique_ptr<WordLexer> lexer_;
  Platform target_platform_;
  std::vector<Platform> build_platforms_;
  bool implicit_target_ = false;  // nobody asked for a platform: the base image may decide
  std::map<std::string, std::string> build_args_;
  graph::build::EnvList global_args_;
  OutlineRecord outline_;
  std::optional<Time> epoch_;
  std::optional<graph::ProxyEnv> proxy_;
  std::optional<PatternMatcher> ignored_;
  std::shared_ptr<std::optional<graph::build::State>> context_cell_;
  graph::build::State build_context_;

  std::vector<std::unique_ptr<StageState>> owned_;
  std::vector<StageState*> stages_;  // registered, in order
  std::map<std::string, StageState*> by_name_;
};

}  // namespace kiln::frontend::dockerfile
