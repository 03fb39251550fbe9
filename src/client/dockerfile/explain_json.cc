#include <nlohmann/json.hpp>

#include "client/dockerfile/explain.h"

namespace kiln::client {
namespace {

namespace df = frontend::dockerfile;
using Json = nlohmann::ordered_json;

Json step_json(const df::PlanStep& step, std::size_t index) {
  Json out = {{"index", index}, {"digest", step.digest}, {"name", step.name}, {"kind", df::step_kind_name(step.kind)}};
  if (step.line != 0) out["line"] = step.line;
  if (step.stage) out["stage"] = *step.stage;
  out["inputs"] = step.inputs;
  out["keys"] = step.keys;
  out["inputsByContent"] = step.by_content;
  for (const df::ContextUse& use : step.reads)
    out["reads"].push_back({{"pattern", use.pattern}, {"excludes", use.excludes}});
  out["wave"] = step.wave;
  return out;
}

Json stage_json(const df::PlanStage& stage) {
  return {{"name", stage.name},     {"base", stage.base},     {"line", stage.line},
          {"needed", stage.needed}, {"target", stage.target}, {"steps", stage.steps}};
}

Json context_json(const Explanation& e) {
  Json largest = Json::array();
  for (const auto& [path, bytes] : e.context.largest) largest.push_back({{"path", path}, {"bytes", bytes}});
  return {{"used", e.plan.uses_context},
          {"wanted", e.plan.follow_paths},
          {"ignored", e.plan.ignore_patterns},
          {"files", e.context.files},
          {"bytes", e.context.bytes},
          {"filesThere", e.context.files_there},
          {"bytesThere", e.context.bytes_there},
          {"largest", largest}};
}

}  // namespace

std::string explain_json(const Explanation& e) {
  Json out = {{"file", e.plan.filename}, {"stages", Json::array()}, {"steps", Json::array()}};
  for (const auto& stage : e.plan.stages) out["stages"].push_back(stage_json(stage));
  for (std::size_t i = 0; i < e.plan.steps.size(); ++i) out["steps"].push_back(step_json(e.plan.steps[i], i));
  out["widest"] = e.plan.widest();
  out["longestChain"] = e.plan.longest_chain();
  out["context"] = context_json(e);
  out["imagesNotLookedUp"] = e.images_not_looked_up;
  for (const Question& q : e.questions) {
    out["questions"].push_back({{"if", q.text},
                                {"note", q.note},
                                {"direct", q.affected.direct},
                                {"behind", q.affected.behind},
                                {"unlessSame", q.affected.unless_same}});
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace kiln::client
