// Where a result came from: the materials its steps resolved to and the request that asked for it,
// as a SLSA provenance predicate for attestations and for the build's record.
//
//   ProvenanceLog log;                                   // one a build
//   log.add_graph(graph); log.add_image(…);              // while it runs
//   Capture capture = log.capture(graph, origin, pins);  // when a result is there
//   std::string json = predicate(capture, options);
//
// Formats: https://slsa.dev/spec/v1.1/provenance and /v0.2; BuildKit's fields in them are described
// at the build type's URL (docs/attestations/slsa-definitions.md there).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/platform.h"
#include "base/status.h"
#include "graph/vertex.h"
#include "source/pins.h"

namespace kiln::daemon {

// The frontend call that a graph came from. Immutable.
struct RequestOrigin {
  std::string frontend;
  std::map<std::string, std::string> opts;
  std::shared_ptr<const RequestOrigin> root;  // the call of the build itself, when this one is nested
};

struct ImageMaterial {
  std::string ref;  // without scheme
  std::optional<Platform> platform;
  std::string digest;
  bool local = false;  // from a layout of the client
  bool operator==(const ImageMaterial&) const = default;
};

struct GitMaterial {
  std::string url;  // "remote#ref", without credentials
  std::string commit;
};

// What a result consists of. A value.
struct Capture {
  std::shared_ptr<const RequestOrigin> origin;  // null: the graph came ready made
  std::vector<ImageMaterial> images;
  std::vector<ImageMaterial> blobs;
  std::vector<GitMaterial> git;
  std::map<std::string, std::string> http;   // URL → digest
  std::set<std::string> locals;
  std::map<std::string, bool> secrets;       // id → optional
  std::map<std::string, bool> ssh;
  bool network = false;     // some step had one
  bool incomplete = false;  // some material has no pin
};

// What a build looked at; for all its results. Any thread.
class ProvenanceLog {
 public:
  // A graph of which a result was solved.
  void add_graph(std::shared_ptr<const graph::Graph> graph);
  // An image whose configuration a frontend asked for.
  void add_image(ImageMaterial image);
  // Of `result`: its own steps, everything else solved on the way except `others` (the other results
  // of the build), and the images looked at, those of `platform` where there is one for each.
  Capture capture(const std::shared_ptr<const graph::Graph>& result, std::shared_ptr<const RequestOrigin> origin,
                  const std::set<const graph::Graph*>& others, const source::Pins& pins,
                  const std::optional<Platform>& platform) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const graph::Graph>> graphs_;
  std::vector<ImageMaterial> images_;
};

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
};

// The attestation "provenance" among a request's options ("attest:provenance", also as a build
// argument); nothing when it is not asked for. InvalidArgument for bad values and unknown kinds of
// attestations.
Result<std::optional<ProvenanceOptions>> provenance_options(const std::map<std::string, std::string>& opts);

struct ProvenanceRun {
  std::string invocation_id;
  Time started{};
  Time finished{};
  std::int64_t compatibility_version = 0;
  std::string environment_json;  // an object merged into the internal parameters; "" = none
};

std::string predicate_type(SlsaVersion version);
// Indented JSON. FailedPrecondition with a typed detail when complete materials are demanded and
// some are not.
Result<std::string> predicate(const Capture& capture, const graph::Definition& definition,
                              const ProvenanceOptions& options, const ProvenanceRun& run);

// Merges the JSON objects of all *.json files in the directory, in their order; "" when there are
// none. InvalidArgument names a file that is no object.
Result<std::string> load_provenance_environment(const std::string& directory);

}  // namespace kiln::daemon
