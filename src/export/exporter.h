// The port Exporter: a solved result leaves the daemon. A file an exporter: image, oci, docker,
// local, tar. Stands between the solver's trees and whoever asked for them.
//
//   KILN_ASSIGN_OR_RETURN(auto exporter, make_exporter("image", attrs, ports));
//   KILN_ASSIGN_OR_RETURN(auto pending, exporter->run(result, context));      // bytes are made
//   KILN_RETURN_IF_ERROR(pending->finish(context));                           // and published
//
// Two phases, because several exporters and the cache exporter publish in parallel, after all bytes
// exist. Namespace `exporter`: `export` is a word of the language.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/status.h"
#include "content/blob_store.h"
#include "event/event.h"
#include "session/session.h"
#include "store/trees.h"

namespace kiln::registry {
class Credentials;
class Registry;
}  // namespace kiln::registry

namespace kiln::exporter {

enum class AttestationKind { kInToto, kBundle };
struct AttestationSubject {
  bool self = true;  // the image itself; otherwise `name` and `digests`
  std::string name;
  std::vector<std::string> digests;
};
// A statement about one tree of the result. The predicate lies in `tree` at `path`, in `data`, or is made
// by `make_data` when it is read (after the layers were made).
struct Attestation {
  AttestationKind kind = AttestationKind::kInToto;
  std::map<std::string, std::string> metadata;
  store::TreeRef tree;
  std::string path;
  std::optional<std::string> data;
  std::function<Result<std::string>()> make_data;
  std::string predicate_type;
  std::vector<AttestationSubject> subjects;
};

// What a build gave: one tree, or one a platform id. Metadata keys are BuildKit's
// ("containerimage.config", "containerimage.config/linux/arm64", "refs.platforms", …).
struct BuildResult {
  store::TreeRef tree;
  std::map<std::string, store::TreeRef> trees;  // not empty: `tree` is not meant
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<Attestation>> attestations;  // by key of `trees`, or ""
  // The cache records to embed for one tree ("" or its platform id): asked for after the layers'
  // digests are known, for inline cache. Null: none wanted.
  std::function<Result<std::string>(const std::string& key, const std::vector<store::LayerBlob>& layers)> inline_cache;

  bool is_map() const { return !trees.empty(); }
};

using Attrs = std::map<std::string, std::string>;

// Valid during a call.
struct ExportContext {
  std::stop_token stop;
  event::Reporter& reporter;       // the vertex "exporting to …"
  session::SessionGroup sessions;  // who may serve credentials
  std::string session_id;          // who gets the files of oci, docker, local and tar
  std::string build_ref;
  int index = 0;  // number of the exporter in its request
  std::int64_t compatibility_version = 0;
};

// An export whose bytes exist. finish() publishes (push, names) and may be called once.
class PendingExport {
 public:
  virtual ~PendingExport() = default;
  virtual Status finish(ExportContext& context) = 0;
  // For the client: "containerimage.digest", "containerimage.descriptor" (base64 JSON), …
  virtual const Attrs& response() const = 0;
  // Whether everything is at the client already, so that finish() has nothing to send.
  virtual bool has_left() const { return false; }
  // The root of what was exported, for the build's record; nothing for plain files.
  virtual std::optional<content::Descriptor> descriptor() const { return std::nullopt; }
};

// Immutable after it is made; one run a build.
class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual std::string type() const = 0;
  // Name of its vertex: "exporting to image", "exporting to oci image format", "exporting to client directory".
  virtual std::string vertex_name() const = 0;
  // Blocks, cancellable. The result's trees are solved, but may be lazy.
  virtual Result<std::unique_ptr<PendingExport>> run(const BuildResult& result, ExportContext& context) = 0;
  // The compression asked for, so that a cache export makes the same blobs.
  virtual store::LayerOptions layer_options() const { return {}; }
};

struct ExportPorts {
  store::Trees* trees = nullptr;
  content::BlobStore* blobs = nullptr;
  registry::Registry* registry = nullptr;
  session::Sessions* sessions = nullptr;
  Pool* pool = nullptr;
  // Logins of the clients of a build.
  std::function<std::shared_ptr<registry::Credentials>(session::SessionGroup)> credentials;
};

// By type: "image", "oci", "docker", "local", "tar". InvalidArgument for attributes with bad values;
// NotFound "exporter \"x\" could not be found" for other types.
Result<std::unique_ptr<Exporter>> make_exporter(const std::string& type, const Attrs& attrs, const ExportPorts& ports);

}  // namespace kiln::exporter
