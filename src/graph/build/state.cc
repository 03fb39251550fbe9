#include "graph/build/state.h"

#include "base/gopath.h"
#include "graph/build/node.h"

namespace kiln::graph::build {

// ---- Constraints --------------------------------------------------------------------------

Constraints& Constraints::name(std::string text) { return describe("llb.customname", std::move(text)); }

Constraints& Constraints::describe(std::string key, std::string value) {
  metadata.description[std::move(key)] = std::move(value);
  return *this;
}

Constraints& Constraints::on(const Platform& wanted) {
  platform = wanted;
  return *this;
}

Constraints& Constraints::ignore_cache(bool yes) {
  metadata.ignore_cache |= yes;
  return *this;
}

Constraints& Constraints::group(std::string id, std::string name, bool weak) {
  metadata.progress_group = ProgressGroup{std::move(id), std::move(name), weak};
  return *this;
}

Constraints& Constraints::at(std::shared_ptr<const SourceInfo> text, std::vector<Range> ranges) {
  if (text) places.push_back({std::move(text), std::move(ranges)});
  return *this;
}

Constraints& Constraints::needs(const char* cap) {
  metadata.caps[cap] = true;
  return *this;
}

// ---- State --------------------------------------------------------------------------------

State scratch() { return State(); }

State State::with_env(std::string_view name, std::string_view value) const {
  State out = *this;
  out.settings_.env.set(name, value);
  return out;
}

State State::with_dir(std::string_view dir) const {
  State out = *this;
  if (is_absolute_path(dir)) {
    out.settings_.dir = std::string(dir);
  } else {
    out.settings_.dir = join_path(settings_.dir.empty() ? std::string_view("/") : std::string_view(settings_.dir), dir);
  }
  return out;
}

State State::with_user(std::string user) const {
  State out = *this;
  out.settings_.user = std::move(user);
  return out;
}

State State::with_hostname(std::string hostname) const {
  State out = *this;
  out.settings_.hostname = std::move(hostname);
  return out;
}

State State::with_network(NetMode mode) const {
  State out = *this;
  out.settings_.network = mode;
  return out;
}

State State::with_platform(const Platform& platform) const {
  State out = *this;
  out.settings_.platform = platform.normalized();
  return out;
}

// ---- Node ---------------------------------------------------------------------------------

Node::~Node() {
  // One by one: a chain of steps may be longer than the stack is deep.
  std::vector<Output> going = std::move(inputs_);
  while (!going.empty()) {
    Output output = std::move(going.back());
    going.pop_back();
    if (output.node.use_count() != 1) continue;
    auto& dying = const_cast<Node&>(*output.node);
    std::move(dying.inputs_.begin(), dying.inputs_.end(), std::back_inserter(going));
    dying.inputs_.clear();
  }
}

Made Node::start(const Defaults& defaults, const std::optional<Platform>& fallback) const {
  Made made;
  made.metadata = constraints_.metadata;
  made.op.constraints = constraints_.worker_filters;
  if (constraints_.platform) {
    made.op.platform = constraints_.platform;
  } else {
    made.op.platform = fallback ? *fallback : defaults.platform;
  }
  return made;
}

void add_once(std::vector<Output>& list, const Output& output) {
  if (output.is_scratch()) return;
  for (const auto& known : list) {
    if (known == output) return;
  }
  list.push_back(output);
}

std::int64_t input_index(Op& op, const Input& input) {
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    if (op.inputs[i] == input) return static_cast<std::int64_t>(i);
  }
  op.inputs.push_back(input);
  return static_cast<std::int64_t>(op.inputs.size()) - 1;
}

}  // namespace kiln::graph::build
