// From the graph's vertices to the solver's: every vertex gets the op that can run it, a file a kind.
//
//   solve::Edge edge = to_solver(graph, ports);
//   job->solve(edge, stop);
//
// An op holds its vertex and the ports; it is made when the solver first needs it.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "base/pool.h"
#include "graph/vertex.h"
#include "op/cache_mounts.h"
#include "session/session.h"
#include "solve/op.h"
#include "store/trees.h"

namespace kiln::sandbox {
class Architectures;
class ContainerDevices;
class Runtime;
}  // namespace kiln::sandbox
namespace kiln::sandbox::proxy {
class ProxyNetwork;
}
namespace kiln::source {
class Pins;
class Sources;
}  // namespace kiln::source

namespace kiln::op {

class StepRecords;

// What ops may use; owned by the daemon, which outlives every op. Nulls are allowed where a kind of
// op is not used (tests).
struct OpPorts {
  store::Trees* trees = nullptr;
  Pool* pool = nullptr;
  session::Sessions* sessions = nullptr;
  // Shared by all steps of a daemon: copies of one OpPorts share it.
  std::shared_ptr<CacheMounts> cache_mounts = CacheMounts::make();
  sandbox::Runtime* runtime = nullptr;
  // Devices that steps may ask for; null: there are none. Whether a build may use one is decided
  // when its graph is loaded, not here.
  std::shared_ptr<const sandbox::ContainerDevices> devices = nullptr;
  // The build's steps run behind the proxy network, each fetch decided by `decide_fetch` (null: all
  // are allowed).
  bool proxied = false;
  sandbox::proxy::ProxyNetwork* proxies = nullptr;
  std::function<Result<std::optional<std::string>>(const std::string& url, std::stop_token)> decide_fetch;
  // A traced build's steps may hand their spans over: the caller's W3C traceparent ("" = not traced)
  // and the host's socket for them ("" = there is none). May be null.
  std::string trace_parent;
  std::function<std::string()> trace_socket;
  bool sample_usage = false;                              // steps that this build begins are sampled while they run
  std::shared_ptr<StepRecords> step_records = nullptr;    // told what steps fetched and used; may be null
  const sandbox::Architectures* architectures = nullptr;  // null: programs are never emulated
  source::Sources* sources = nullptr;
  source::Pins* pins = nullptr;  // told what sources resolve to
  // Solves a definition inside the build that runs the step (BuildOp). Blocking.
  std::function<Result<store::TreeRef>(const graph::Definition&, solve::RunContext&)> solve_nested;
  // Told when a step failed, with the trees its mounts had, so that a client may look at them. May
  // be null.
  std::function<void(const graph::Vertex&, std::vector<store::TreeRef> inputs, std::vector<store::TreeRef> mounts,
                     Status& error)>
      on_exec_failure;
  // Told when the content of an input could not be made a key. May be null.
  std::function<void(const graph::Vertex&, int input, store::TreeRef tree, Status& error)> on_content_failure;
};

// Detail of a failed FileOp's error: which action it was, as a decimal number.
inline constexpr std::string_view kFileActionDetail = "kiln/file-action";

using VertexPtr = std::shared_ptr<const graph::Vertex>;

Result<std::unique_ptr<solve::Op>> make_exec_op(VertexPtr vertex, const OpPorts& ports);         // exec.cc
Result<std::unique_ptr<solve::Op>> make_source_op(VertexPtr vertex, const OpPorts& ports);       // source.cc
Result<std::unique_ptr<solve::Op>> make_file_op(VertexPtr vertex, const OpPorts& ports);         // file.cc
Result<std::unique_ptr<solve::Op>> make_merge_op(VertexPtr vertex, const OpPorts& ports);        // merge.cc
Result<std::unique_ptr<solve::Op>> make_diff_op(VertexPtr vertex, const OpPorts& ports);         // diff.cc
Result<std::unique_ptr<solve::Op>> make_build_op(VertexPtr vertex, const OpPorts& ports);        // build.cc
Result<std::unique_ptr<solve::Op>> make_passthrough_op(VertexPtr vertex, const OpPorts& ports);  // passthrough.cc

// The one of these that suits the vertex.
Result<std::unique_ptr<solve::Op>> make_op(VertexPtr vertex, const OpPorts& ports);

// The whole graph; shared vertices stay shared. A null edge for the empty graph. `ports` is copied.
solve::Edge to_solver(const graph::Graph& graph, const OpPorts& ports);

// The sessions of a running step as a group.
session::SessionGroup sessions_of(const OpPorts& ports, const solve::RunContext& context);

}  // namespace kiln::op
