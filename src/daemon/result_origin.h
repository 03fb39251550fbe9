// Where the results of one build came from, told twice: to exporters as attestations, when the request
// asks for it, and to the build's record, always.
//
//   ResultOrigin origin(parts, build, context);
//   KILN_RETURN_IF_ERROR(origin.capture(result));                // once everything is solved
//   KILN_RETURN_IF_ERROR(origin.attest(options, solved));        // before the exporters run
//   origin.keep(builder_id);                                     // when the client has its answer
//
// The predicates are made when an exporter reads them, because only then the layers are blobs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/build.h"
#include "daemon/provenance.h"
#include "daemon/usage.h"

namespace kiln::daemon {

// One thread; made for one build, whose parts and context it uses. Shared with what the build does after its
// answer.
class ResultOrigin : public std::enable_shared_from_this<ResultOrigin> {
 public:
  ResultOrigin(const BuildParts& parts, RunningBuild& build, std::shared_ptr<BridgeContext> context);
  ~ResultOrigin();

  // Notes the materials of every solved result.
  Status capture(const frontend::SolveResult& result);
  // Adds a provenance attestation to each. FailedPrecondition when complete materials are demanded and
  // some are not. What is added refers to this object until the exporters have finished.
  Status attest(const ProvenanceOptions& options, exporter::BuildResult& result);
  // Has full provenance (mode max, with usage) written beside the build's record, once the client has its
  // answer.
  void keep(const std::string& builder_id);

 private:
  struct One {
    Capture capture;
    std::shared_ptr<const graph::Graph> graph;
  };
  Result<std::string> describe(const One& one, const ProvenanceOptions& options) const;
  void add_usage(const graph::Graph& graph, ProvenanceRun& run) const;
  std::map<StepOutput, LayerChains> layers_of(const graph::Graph& graph) const;
  // Lets the build's job end: its steps are nobody's any more, and the next build begins its own.
  void let_go();
  Status keep_one(const std::string& key, const One& one, const std::string& builder_id);

  const BuildParts& parts_;
  RunningBuild& build_;
  std::shared_ptr<BridgeContext> context_;  // null once let_go() was called
  std::vector<solve::KnownOutput> known_;   // instead of it
  const Time started_;
  std::optional<Time> finished_;
  std::unique_ptr<MachineUsage::Watch> usage_;  // null: not sampled
  std::map<std::string, One> all_;              // by id of the result, "" for the only one
};

// The id under which exporters know a build's only result: its image's platform.
std::string only_result_id(const std::map<std::string, std::string>& metadata);

}  // namespace kiln::daemon
