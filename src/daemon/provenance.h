// Where a result came from: the materials its steps resolved to and the request that asked for it,
// as a SLSA provenance predicate for attestations and for the build's record.
//
//   Capture capture = scope->capture(wanted, pins);      // daemon/request_scope.h
//   std::string json = predicate(capture, definition, options, run);
//
// Formats: https://slsa.dev/spec/v1.1/provenance and /v0.2; the fields that are BuildKit's own are
// described in docs/attestations.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/platform.h"
#include "base/status.h"
#include "content/descriptor.h"
#include "graph/vertex.h"
#include "source/pins.h"

namespace kiln::op {
class StepRecords;
}

namespace kiln::daemon {

// What a frontend was asked, as far as it is worth keeping. Immutable.
struct RequestDescription {
  std::string frontend;
  std::map<std::string, std::string> args;  // without what belongs to the machine, credentials hidden
  // The requests that made the graphs given as inputs, where they are known.
  std::map<std::string, std::shared_ptr<const RequestDescription>> inputs;
  int depth = 0;  // of the tree of inputs; deeper ones than kInputDepthMax are left out

  static constexpr int kInputDepthMax = 64;
  bool empty() const { return frontend.empty() && args.empty() && inputs.empty(); }
  bool operator==(const RequestDescription& other) const;
};

// The options of a request that a description keeps.
std::map<std::string, std::string> provenance_args(const std::map<std::string, std::string>& opts);

struct ImageMaterial {
  std::string ref;  // without scheme
  std::optional<Platform> platform;
  std::string digest;
  bool local = false;  // from a layout of the client
};

struct GitMaterial {
  std::string url;  // "remote#ref", without credentials
  std::string commit;
  std::string bundle;  // "docker-image+blob://name@sha256:…" when it came out of a bundle, else ""
};

// What a result consists of. A value.
struct Capture {
  std::shared_ptr<const RequestDescription> request;  // null: the graph came ready made
  std::shared_ptr<const RequestDescription> root;     // the client's own request, when it is another
  std::vector<ImageMaterial> images;
  std::vector<ImageMaterial> blobs;
  std::vector<GitMaterial> git;
  std::map<std::string, std::string> http;  // URL → digest
  std::set<std::string> locals;
  std::map<std::string, bool> secrets;  // id → optional
  std::map<std::string, bool> ssh;
  bool network = false;  // some step had one
  bool proxied = false;  // some step had the proxy network, which knows what was fetched
  struct Unknown {       // a request of such a step that no digest tells
    std::string op, name, method, uri, reason;
  };
  std::vector<Unknown> unknown;
  bool incomplete = false;  // some material has no pin

  void add_image(ImageMaterial image);  // once each
  // Sorts, and leaves out images named by digest where the same image is named by its tag.
  void settle();
};

// Adds what the sources and steps of the graph used. Sources that were not resolved lately have no pin
// and make the capture incomplete. `steps` (may be null) knows what steps fetched.
void add_materials(const graph::Graph& graph, const source::Pins& pins, const op::StepRecords* steps, Capture& out);

enum class ProvenanceMode { kMin, kMax };
enum class SlsaVersion { kV1, kV02 };

struct ProvenanceOptions {
  ProvenanceMode mode = ProvenanceMode::kMax;
  SlsaVersion version = SlsaVersion::kV1;
  std::string builder_id;
  std::string filename = "provenance.json";
  bool reproducible = false;
  bool inline_only = false;
  bool complete_materials = false;  // refuse to leave a material without pin
  bool capture_usage = false;       // with what steps and machine used
};

// The attestation "provenance" among a request's options ("attest:provenance", also as a build
// argument); nothing when it is not asked for. InvalidArgument for bad values and unknown kinds of
// attestations.
Result<std::optional<ProvenanceOptions>> provenance_options(const std::map<std::string, std::string>& opts);
// The settings of one kind ("sbom") among them, by name; nothing when it is not asked for.
Result<std::optional<std::map<std::string, std::string>>> attestation_settings(
    const std::map<std::string, std::string>& opts, std::string_view kind);

// One output of a step: digest of its op, index.
using StepOutput = std::pair<std::string, int>;
using LayerChains = std::vector<std::vector<content::Descriptor>>;

struct ProvenanceRun {
  std::string invocation_id;
  Time started{};
  Time finished{};
  std::int64_t compatibility_version = 0;
  std::string environment_json;              // an object merged into the internal parameters; "" = none
  std::map<StepOutput, LayerChains> layers;  // of outputs whose layers exist as blobs
  std::map<std::string, std::string> usage;  // JSON by digest of op: what the step used
  std::string machine_usage_json;            // an array; "" = not sampled
};

std::string predicate_type(SlsaVersion version);
// FailedPrecondition with a typed detail when complete materials are demanded and some are not.
Status check_materials(const Capture& capture, const ProvenanceOptions& options);
// Indented JSON.
std::string predicate(const Capture& capture, const graph::Definition& definition, const ProvenanceOptions& options,
                      const ProvenanceRun& run);

// Merges the JSON objects of all *.json files in the directory, in their order; "" when there are
// none. InvalidArgument names a file that is no object.
Result<std::string> load_provenance_environment(const std::string& directory);

}  // namespace kiln::daemon
