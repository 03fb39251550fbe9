// Records and layers travel: what one daemon solved another finds. A cache is exported as a
// configuration (which keys lead to which layers) with its layers, and imported as a source of
// records for one build.
//
//   KILN_ASSIGN_OR_RETURN(auto out, make_cache_export({"registry", {{"ref", "…"}}}, ports));
//   auto response = out->run({keys_of_result}, context);
//   KILN_ASSIGN_OR_RETURN(auto source, make_cache_import({"local", {{"digest", "…"}}}, ports));
//   job->add_import(source);                           // read when first looked into
//
// Format of the configuration: application/vnd.buildkit.cacheconfig.v0, docs/formats/cache.md.
// A cache never fails a build: a broken import is a miss with a log line.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/status.h"
#include "cache/record_store.h"
#include "content/blob_store.h"
#include "event/event.h"
#include "session/session.h"
#include "solve/solver.h"
#include "store/trees.h"

namespace kiln::registry {
class Credentials;
class Registry;
class Transport;
}  // namespace kiln::registry

namespace kiln::remotecache {

using Attrs = std::map<std::string, std::string>;

struct Spec {
  std::string type;  // "inline", "registry", "local", "s3", "azblob", "gha"
  Attrs attrs;
};

struct Ports {
  store::Trees* trees = nullptr;
  content::BlobStore* blobs = nullptr;
  registry::Registry* registry = nullptr;
  registry::Transport* http = nullptr;
  session::Sessions* sessions = nullptr;
  Pool* pool = nullptr;
  cache::RecordStore* records = nullptr;  // the daemon's own
  // Logins of the clients of a build.
  std::function<std::shared_ptr<registry::Credentials>(session::SessionGroup)> credentials;
  // Wraps a tree as the solver's output; given by the daemon, because ops stand above this room.
  std::function<solve::OutputRef(store::TreeRef)> make_output;
  std::function<store::TreeRef(const solve::OutputRef&)> tree_of;  // the way back
};

// On whose behalf. Valid during a call.
struct Context {
  std::stop_token stop;
  event::Reporter& reporter;
  session::SessionGroup sessions;
  std::string session_id;
  // What the build imported: what was found there and not looked into further is exported again.
  std::vector<solve::CacheSource> imports = {};
};

enum class Mode { kMin, kMax };

// One result of the build: the keys it is known under, and its tree.
struct Exported {
  std::vector<cache::KeyId> keys;
  store::TreeRef tree;
};

// One export of a build. One thread at a time.
class CacheExport {
 public:
  virtual ~CacheExport() = default;
  // "exporting cache to registry", …
  virtual std::string vertex_name() const = 0;
  virtual bool ignore_error() const { return false; }
  // Inline caches travel inside the image: see inline_cache().
  virtual bool is_inline() const { return false; }
  // Makes missing layer blobs and publishes. Blocking, cancellable. Gives "cache.manifest" and the
  // like for the client.
  virtual Result<Attrs> run(const std::vector<Exported>& results, Context& context) = 0;
};

// InvalidArgument for bad attributes; Unimplemented naming the type for an unknown one.
Result<std::unique_ptr<CacheExport>> make_cache_export(const Spec& spec, const Ports& ports);

// The configuration to embed in an image whose layers are `layers`; "" when there is nothing to tell.
Result<std::string> inline_cache(const Exported& result, const std::vector<store::LayerBlob>& layers,
                                 const Ports& ports, std::vector<solve::CacheSource> imports = {});

// A source of records that is read when first looked into, on behalf of `context` (whose reporter
// and sessions are copied). InvalidArgument for bad attributes.
struct ImportContext {
  std::stop_token stop;
  std::shared_ptr<event::Reporter> reporter;
  session::SessionGroup sessions;
  std::string session_id;
};
Result<solve::CacheSource> make_cache_import(const Spec& spec, const Ports& ports, ImportContext context);

}  // namespace kiln::remotecache
