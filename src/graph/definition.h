// A build graph as it travels: the ops as bytes, what is told about them beside their digests, and
// the texts they came from. Requests, frontends and results carry a Definition; graph/vertex.h
// makes it a graph of vertices.
//
//   KILN_ASSIGN_OR_RETURN(Definition def, decode_definition(request_bytes));
//   KILN_ASSIGN_OR_RETURN(Graph graph, load(def));
//
// Format: pb.Definition of moby/buildkit solver/pb/ops.proto. Ops stay bytes, because digests are
// taken over exactly these bytes. A plain value; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/op.h"
#include "graph/source_map.h"

namespace kiln::graph {

struct Definition {
  std::vector<std::string> ops;                // serialised pb.Op each; inputs before users; the sink last
  std::map<std::string, OpMetadata> metadata;  // by digest of op
  std::optional<SourceMap> source;

  // The empty definition is the empty tree ("scratch").
  bool empty() const { return ops.empty(); }
};

// Takes a serialised pb.Definition. InvalidArgument when it does not parse. The ops inside are not
// looked at.
Result<Definition> decode_definition(std::string_view bytes);
// Deterministic: equal definitions give equal bytes.
std::string encode_definition(const Definition& definition);

// One op. Decoding gives InvalidArgument for bytes that do not parse; it does not validate.
Result<Op> decode_op(std::string_view bytes);
// Deterministic, and byte for byte what other LLB writers make of the same op: fields by number, the
// oneof last, maps sorted by key, defaults left out.
std::string encode_op(const Op& op);

// Serialised pb.SourceInfo with ranges, as the typed detail of an error (type
// "github.com/moby/buildkit/errdefs.Source": info = 1, ranges = 2) carries it.
std::string encode_source_ref(const SourceRef& ref);
Result<SourceRef> decode_source_ref(std::string_view bytes);

// Digest and output index of the op that the sink points at; nothing for an empty definition or one
// without a proper sink.
std::optional<Input> head(const Definition& definition);

}  // namespace kiln::graph
