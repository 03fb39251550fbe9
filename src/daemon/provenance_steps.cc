// The graph of a build as a predicate tells it: its ops by step, the texts they came from, the layers
// they made.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "daemon/message_json.h"
#include "daemon/provenance_parts.h"
#include "graph/definition.h"
#include "wire/ops.pb.h"

namespace kiln::daemon {
namespace {
using Json = nlohmann::json;
}

Steps steps_of(const graph::Definition& definition, const std::map<std::string, std::string>& usage) {
  std::map<std::string, pb::Op> ops;
  std::string last;
  for (const std::string& bytes : definition.ops) {
    last = Digest::of(bytes).str();
    pb::Op& op = ops[last];
    op.ParseFromString(bytes);
    if (op.has_source()) {
      op.mutable_source()->mutable_attrs()->erase("local.session");
      op.mutable_source()->mutable_attrs()->erase("local.unique");
    }
  }
  Steps out;
  if (last.empty()) return out;
  // A walk by hand: a chain may be longer than the stack is deep.
  std::vector<std::pair<std::string, int>> path{{last, 0}};
  std::set<std::string> seen{last};
  while (!path.empty()) {
    auto& [digest, next] = path.back();
    pb::Op& op = ops[digest];
    if (next < op.inputs_size()) {
      const std::string input = op.inputs(next++).digest();
      if (ops.contains(input) && seen.insert(input).second) path.emplace_back(input, 0);
      continue;
    }
    Json step = {{"id", fmt::format("step{}", out.list.size())}};
    Json inputs = Json::array();
    for (const pb::Input& input : op.inputs())
      inputs.push_back(fmt::format("{}:{}", out.ids[input.digest()], input.index()));
    if (!inputs.empty()) step["inputs"] = std::move(inputs);
    out.ids[digest] = step["id"].get<std::string>();
    op.clear_inputs();
    step["op"] = to_json(op, JsonStyle::kLlb);
    if (auto used = usage.find(digest); used != usage.end())
      step["resourceUsage"] = Json::parse(used->second, nullptr, false);
    out.list.push_back(std::move(step));
    path.pop_back();
  }
  return out;
}

Json build_config_json(Steps& steps) {
  Json out = Json::object();
  if (!steps.list.empty()) out["llbDefinition"] = std::exchange(steps.list, Json::array());
  if (!steps.ids.empty()) out["digestMapping"] = steps.ids;
  return out;
}

Json source_json(const graph::Definition& definition, const Steps& steps) {
  pb::Definition message;
  message.ParseFromString(graph::encode_definition({.source = definition.source}));
  Json infos = Json::array(), locations = Json::object();
  for (const pb::SourceInfo& info : message.source().infos()) {
    Json one = {{"filename", info.filename()}};
    if (!info.language().empty()) one["language"] = info.language();
    pb::SourceInfo only_data;
    only_data.set_data(info.data());
    one.update(to_json(only_data, JsonStyle::kLlb));
    if (auto inner = graph::decode_definition(info.definition().SerializeAsString()); inner.ok()) {
      Steps inner_steps = steps_of(*inner, {});
      one.update(build_config_json(inner_steps));
    }
    infos.push_back(std::move(one));
  }
  for (const auto& [digest, place] : message.source().locations()) {
    auto it = steps.ids.find(digest);
    if (it != steps.ids.end()) locations[it->second] = to_json(place, JsonStyle::kLlb);
  }
  if (infos.empty()) return Json();
  return {{"infos", std::move(infos)}, {"locations", std::move(locations)}};
}

Json layers_json(const std::map<StepOutput, LayerChains>& layers, const Steps& steps) {
  Json out = Json::object();
  for (const auto& [output, chains] : layers) {
    auto id = steps.ids.find(output.first);
    if (id == steps.ids.end()) continue;
    Json& told = out[fmt::format("{}:{}", id->second, output.second)];
    for (const auto& chain : chains) {
      Json descriptors = Json::array();
      for (const auto& layer : chain) descriptors.push_back(Json::parse(content::to_json(layer), nullptr, false));
      told.push_back(std::move(descriptors));
    }
  }
  return out;
}

}  // namespace kiln::daemon
