// The port Op: what the solver knows of an operation. The solver decides who runs when; an Op says
// how its cache key is made and how it runs. Ops live in the room `op`, a file a kind.
//
//   class RunOp : public solve::Op { … };
//
// An implementer must guarantee: cache_map is a pure function of the op (or, for a source, of what
// the source resolves to); equal keys mean interchangeable outputs; every call returns soon after
// `context.stop` is requested, with Cancelled; calls may come from any thread, but never two of the
// same kind at once for one Op.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "event/event.h"
#include "event/miss.h"

namespace kiln::solve {

// One output of a solved vertex, held: while it lives, what it stands for is not collected.
// A null OutputRef is an empty tree (scratch). Immutable; any thread.
class Output {
 public:
  virtual ~Output() = default;
};
using OutputRef = std::shared_ptr<const Output>;

// How one input takes part in the key.
struct InputRule {
  std::string selector;        // digest of the part of the input that matters; "" = all
  bool content_keyed = false;  // Op::content_key may be asked once the input is solved
};

struct CacheMap {
  std::string digest;             // of the operation without its inputs; "random:…" never hits
  std::vector<InputRule> inputs;  // one for each input of the vertex
  bool last = true;               // false: cache_map(index + 1) gives another key (sources only)
  bool lasting = true;            // false: the key dies with the session, and is not linked
};

// What a call into an Op may use. Valid during the call.
struct RunContext {
  std::stop_token stop;
  event::Reporter& reporter;  // tells the watchers of this step
  Digest vertex;
  // Ids of the client sessions of the builds that want this step now, the first first. May change
  // while the step runs: ask again after a failure.
  std::function<std::vector<std::string>()> sessions;
  // The same reporter, to be kept for what happens after the call (a lazy layer's download); tells
  // nobody once no build holds the step. May be null.
  std::shared_ptr<event::Reporter> lasting_reporter = nullptr;
};

// Detail of an error of run or content_key: the inputs (their indices, "0,2") whose bytes cannot be
// had. Those that were found in a cache are then made by running, and the call is repeated.
inline constexpr std::string_view kLostInputsDetail = "kiln/lost-inputs";

// Whether running counts on max-parallelism. Ops that only wait for other steps must be kFree.
enum class Slot { kCounted, kFree };

class Op {
 public:
  virtual ~Op() = default;
  // index 0 first; more only while the previous map was not the last.
  virtual Result<CacheMap> cache_map(int index, RunContext& context) = 0;
  // True when cache_map neither blocks nor takes long: the solver then calls it in place.
  virtual bool quick_cache_map() const { return true; }
  // Digest of what the op sees of the solved input; only for inputs that are content_keyed.
  virtual Result<Digest> content_key(int input, const OutputRef& output, RunContext& context) = 0;
  // Makes the outputs, one an output index. `inputs` are the solved inputs in order.
  virtual Result<std::vector<OutputRef>> run(const std::vector<OutputRef>& inputs, RunContext& context) = 0;
  virtual Slot slot() const { return Slot::kCounted; }

  // For the explanation of a miss only, asked when a step is about to run: what the digest of the
  // last cache_map was made of, and which files stand behind a content key. May say nothing.
  virtual std::vector<event::KeyPart> key_parts() const { return {}; }
  virtual std::vector<event::FileSum> key_files(int /*input*/, const OutputRef& /*output*/, RunContext& /*context*/) {
    return {};
  }
};

// A step of the graph, as the solver sees it. Immutable, shared between builds by digest.
struct Vertex;
struct Edge {
  std::shared_ptr<const Vertex> vertex;  // null: scratch
  int output = 0;
  bool operator==(const Edge&) const = default;
};
struct Vertex {
  Vertex() = default;
  ~Vertex();
  Vertex(const Vertex&) = delete;
  Vertex& operator=(const Vertex&) = delete;

  Digest digest;     // identity; equal digests share one execution
  std::string name;  // as shown in progress
  std::vector<Edge> inputs;
  bool ignore_cache = false;  // run even if a record exists; still saved
  std::optional<event::ProgressGroup> group;
  // Makes the op, once a step. Fails for a malformed vertex.
  std::function<Result<std::unique_ptr<Op>>()> make_op;
};

}  // namespace kiln::solve
