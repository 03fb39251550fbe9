// Building graphs. A State is a tree that some ops will make, with the settings that the next
// command on it would run under; functions take States and give States; marshal() makes a
// Definition of the last one.
//
//   State base = image("alpine", {}, Constraints().name("base"));
//   State done = run(base, {.args = {"make"}, .mounts = {{.target = "/src", .source = context}}});
//   KILN_ASSIGN_OR_RETURN(Definition def, marshal(done, {.platform = target}));
//
// Stands between frontends and the solver. The bytes of every op equal what moby/buildkit's
// client/llb makes for the same thing, because digests and cache keys are taken over them.
// All values; immutable once made, any thread. Nothing here does I/O.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "graph/build/env_list.h"
#include "graph/caps.h"
#include "graph/definition.h"
#include "graph/op.h"
#include "graph/source_map.h"

namespace kiln::graph::build {

class Node;  // an op to be made; private

// What is said of an op beside what it does. The setters return *this, for chains.
struct Constraints {
  std::optional<Platform> platform;
  std::vector<std::string> worker_filters;
  OpMetadata metadata;
  std::vector<SourceRef> places;

  Constraints& name(std::string text);  // "llb.customname"
  Constraints& describe(std::string key, std::string value);
  Constraints& on(const Platform& wanted);
  Constraints& ignore_cache(bool yes = true);
  Constraints& group(std::string id, std::string name, bool weak);
  Constraints& at(std::shared_ptr<const SourceInfo> text, std::vector<Range> ranges);
  Constraints& needs(const char* cap);
};

// One output of a node; no node: the empty tree.
struct Output {
  std::shared_ptr<const Node> node;
  std::int64_t index = 0;
  bool is_scratch() const { return node == nullptr; }
  bool operator==(const Output&) const = default;
};

// The settings of a state. Only exec ops look at them all; file ops use dir and platform.
struct Settings {
  EnvList env;
  std::string dir = "/";
  std::string user;
  std::string hostname;
  std::vector<HostIp> extra_hosts;
  std::vector<Ulimit> ulimits;
  std::string cgroup_parent;
  std::optional<std::vector<std::int32_t>> valid_exit_codes;
  NetMode network = NetMode::kSandbox;
  SecurityMode security = SecurityMode::kSandbox;
  std::optional<Platform> platform;  // normalised
};

class State {
 public:
  State() = default;  // the empty tree
  State(Output output, Settings settings) : output_(std::move(output)), settings_(std::move(settings)) {}

  const Output& output() const { return output_; }
  const Settings& settings() const { return settings_; }
  bool is_scratch() const { return output_.is_scratch(); }

  // The same settings on another tree.
  State with_output(Output output) const { return State(std::move(output), settings_); }
  State with_env(std::string_view name, std::string_view value) const;
  // Joined to the present directory when relative.
  State with_dir(std::string_view dir) const;
  State with_user(std::string user) const;
  State with_hostname(std::string hostname) const;
  State with_network(NetMode mode) const;
  State with_platform(const Platform& platform) const;

 private:
  Output output_;
  Settings settings_;
};

State scratch();
// The result of a definition as a state; its ops keep bytes, metadata and places. InvalidArgument
// when the definition is malformed.
Result<State> from_definition(const Definition& definition);

// A tree that is decided after others have been built on it (the build context, whose file list is
// known when all instructions have been seen). `decide` is called when marshalled; it must give the
// same state each time.
State deferred(std::function<State()> decide);

struct MarshalOptions {
  std::optional<Platform> platform;  // of ops without one; this machine's when absent
  const CapSet* caps = nullptr;      // of the daemon; absent: no claim is made
};
// Gives the definition of the state's tree; empty for the empty tree. InvalidArgument for ops that
// cannot be made (a merge of one input, an exec without args).
Result<Definition> marshal(const State& state, const MarshalOptions& options = {});

// ---- combining ----------------------------------------------------------------------------

// Later trees win. Empty trees are left out; one tree is itself.
State merge(const std::vector<State>& inputs, const Constraints& constraints = {});
State diff(const State& lower, const State& upper, const Constraints& constraints = {});
// `state`, made only after all of `needed` are.
State after(const State& state, std::string id, const std::vector<State>& needed);

}  // namespace kiln::graph::build
