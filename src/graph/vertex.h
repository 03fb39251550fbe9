// The graph of a build, ready to be solved: immutable vertices that know their inputs.
//
//   KILN_ASSIGN_OR_RETURN(Graph graph, load(definition));
//   for (const Edge& in : graph.result.vertex->inputs) ...
//
// A vertex is named by the digest of its op's bytes. A vertex that must not be answered from the
// cache (ignore_cache) has a digest of its own, so that it never merges with its cached twin; the
// ops above it keep theirs. load() is the only way from outside bytes to vertices, so whoever holds
// a Vertex may rely on it being valid.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/platform.h"
#include "base/status.h"
#include "graph/definition.h"
#include "graph/op.h"

namespace kiln::graph {

struct Vertex;

// One output of a vertex.
struct Edge {
  std::shared_ptr<const Vertex> vertex;
  int index = 0;
  explicit operator bool() const { return vertex != nullptr; }
  bool operator==(const Edge&) const = default;
};

// Immutable once loaded; any thread. Kept alive by whoever holds it or a vertex above it.
struct Vertex {
  Vertex() = default;
  // Lets go of the inputs one by one: a chain may be longer than the stack is deep.
  ~Vertex();
  Vertex(const Vertex&) = delete;
  Vertex& operator=(const Vertex&) = delete;

  Digest digest;      // its name in the solver and in progress; differs from op_digest when ignore_cache
  Digest op_digest;   // sha256 of `bytes`; the key of metadata and of source locations
  std::string bytes;  // serialised pb.Op
  Op op;              // decoded; platform is filled in and normalised when LoadOptions ask for it
  std::vector<Edge> inputs;
  std::string name;  // what progress shows: custom name, or one made from the op
  OpMetadata metadata;
};

struct Graph {
  Edge result;                                          // empty for the empty tree
  std::vector<std::shared_ptr<const Vertex>> vertices;  // inputs before users; without the sink
  std::optional<SourceMap> source;
};

// Looks at every source op once, before digests are final, and may change it (source policy). Gives
// whether it changed anything.
using SourceRewrite = std::function<Result<bool>(Op& op)>;
// Refuses an op (entitlements), or narrows what it asks for: the op that runs changes, its digests do not.
using OpCheck = std::function<Status(Op& op, const OpMetadata& metadata)>;

struct LoadOptions {
  // Ops without a platform get this one; all platforms are normalised. Digests are not affected.
  std::optional<Platform> default_platform;
  // Unknown names in metadata.caps give Unimplemented naming the cap.
  bool check_caps = true;
  SourceRewrite rewrite_source;  // a changed op changes its digest and those of all above it
  OpCheck check_op;
  // Ops that run otherwise than other builds' equal ones: they, and all above them, get names of their
  // own in the solver (Vertex::digest); cache keys stay the same. May be null.
  std::function<bool(const Op& op)> set_apart;
};

// The name of the twin of an op that must not be answered from the cache.
Digest ignore_cache_digest(const Digest& op_digest);

// Takes a definition from outside; the order of its ops does not matter, except that the sink is
// last. An empty definition gives an empty result. InvalidArgument that
// names the op ("op 3 (sha256:…): …") for bytes that do not parse, missing or later inputs, inputs
// out of range, cycles, ops of no known kind, exec without root mount and the like; whatever
// rewrite_source and check_op give. Does not block; linear in the size of the definition.
Result<Graph> load(const Definition& definition, const LoadOptions& options = {});

// The definition whose ops are exactly the vertices needed for `edge`: what a sub-build or a
// provenance record needs.
Definition definition_of(const Edge& edge, const Graph& graph);

// The locations known for a vertex, as errors and warnings carry them.
std::vector<SourceRef> source_refs(const Graph& graph, const Digest& op_digest);

}  // namespace kiln::graph
