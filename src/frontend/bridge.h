// What a frontend is given to work with. A frontend turns text into a graph; while it does, it asks
// for files to be read, for images to be looked up and for graphs to be solved. Bridge is the port
// through which it asks; the daemon implements it for frontends inside this program and serves the
// same over the gateway's RPCs to frontends that run in containers.
//
//   KILN_ASSIGN_OR_RETURN(SolveResult solved, bridge.solve({.definition = def}, stop));
//   KILN_ASSIGN_OR_RETURN(std::string text, solved.ref->read_file({.path = "Dockerfile"}, stop));
//
// Everything here is plain data or a port; shapes follow moby/buildkit frontend/gateway/pb. All
// calls may block and give Cancelled soon after their stop token is stopped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/platform.h"
#include "base/status.h"
#include "graph/caps.h"
#include "graph/definition.h"
#include "graph/op.h"

namespace kiln::frontend {

// ---- results ------------------------------------------------------------------------------

struct FileRange {
  std::int64_t offset = 0;
  std::int64_t length = 0;  // 0 = to the end
};

struct ReadRequest {
  std::string path;
  std::optional<FileRange> range;
};

// A file as fsutil.types.Stat tells it; `mode` holds Go's os.FileMode bits.
struct FileStat {
  std::string path;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t size = 0;
  std::int64_t mod_time = 0;  // ns
  std::string link_name;
  std::int64_t dev_major = 0;
  std::int64_t dev_minor = 0;
  std::map<std::string, std::string> xattrs;
};

// One tree of a solve, possibly not solved yet: the first look into it solves it. Held by
// shared_ptr; dropping the last one releases the tree. Any thread.
class Ref {
 public:
  virtual ~Ref() = default;
  // Solves now.
  virtual Status evaluate(std::stop_token stop) = 0;
  // NotFound when the path does not exist. Symlinks are followed inside the tree.
  virtual Result<std::string> read_file(const ReadRequest& request, std::stop_token stop) = 0;
  // Entries of a directory, sorted; `include_pattern` is a glob on the base name, empty = all.
  virtual Result<std::vector<FileStat>> read_dir(const std::string& path, const std::string& include_pattern,
                                                 std::stop_token stop) = 0;
  virtual Result<FileStat> stat_file(const std::string& path, std::stop_token stop) = 0;
  // The graph that makes this tree, for use as part of another graph.
  virtual Result<graph::Definition> definition() = 0;
};

// A null Ref is the empty tree.
using RefPtr = std::shared_ptr<Ref>;

enum class AttestationKind { kInToto = 0, kBundle = 1 };
enum class SubjectKind { kSelf = 0, kRaw = 1 };

struct AttestationSubject {
  SubjectKind kind = SubjectKind::kSelf;
  std::string name;
  std::vector<std::string> digests;
};

struct Attestation {
  AttestationKind kind = AttestationKind::kInToto;
  std::map<std::string, std::string> metadata;
  RefPtr ref;
  std::string path;
  std::string predicate_type;
  std::vector<AttestationSubject> subjects;
};

// What a frontend returns and what a solve gives: one tree, or several by name (platform ids), with
// metadata for the exporters ("containerimage.config", "refs.platforms", "result.json").
struct SolveResult {
  RefPtr ref;
  std::map<std::string, RefPtr> refs;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<Attestation>> attestations;  // by name of ref

  // Whether `refs` is meant rather than `ref`.
  bool is_map() const { return !refs.empty(); }
};

// ---- requests -----------------------------------------------------------------------------

struct CacheImport {
  std::string type;
  std::map<std::string, std::string> attrs;
};

// Either a definition or a frontend's name with its options and inputs. Both empty: the empty tree.
struct SolveRequest {
  std::optional<graph::Definition> definition;
  std::string frontend;
  std::map<std::string, std::string> frontend_opts;
  std::map<std::string, graph::Definition> frontend_inputs;
  std::vector<CacheImport> cache_imports;
  bool evaluate = false;                     // solve before returning
  std::vector<std::string> source_policies;  // serialised moby.buildkit.v1.sourcepolicy.Policy
};

struct OciStore {
  std::string session_id;
  std::string store_id;
};

struct ResolveOptions {
  std::string log_name;  // name of the progress step, "" = "resolve image config for …"
  std::optional<Platform> platform;
  std::string resolve_mode;           // "", "default", "pull", "local"
  std::optional<OciStore> oci_store;  // the reference stands in a layout of the client
  bool no_config = false;
  bool attestation_chain = false;
  std::vector<std::string> resolve_attestations;
  bool git_object = false;                                   // give the commit's and the tag's bytes
  std::optional<std::pair<int, std::string>> http_checksum;  // algorithm (0 sha256, 1 sha384, 2 sha512), suffix
  std::vector<std::string> source_policies;
};

struct ImageConfig {
  std::string ref;     // may differ from the one asked for, when a policy changed it
  Digest digest;       // of the manifest or index
  std::string config;  // JSON
};

// Detail of an error of resolve_image_config: a policy turned the image into a source that is none.
// Holds the new identifier ("https://…").
inline constexpr const char* kDetailNotAnImage = "kiln/not-an-image";

struct AttestationBlob {
  std::string media_type;
  std::int64_t size = 0;
  std::string data;
};
struct AttestationChain {
  Digest root;
  Digest image_manifest;
  Digest attestation_manifest;
  std::vector<Digest> signature_manifests;
  std::map<std::string, AttestationBlob> blobs;
};
struct ImageMeta {
  Digest digest;
  std::string config;
  std::optional<AttestationChain> attestation_chain;
};
struct GitMeta {
  std::string checksum;
  std::string ref;
  std::string commit_checksum;
  std::string commit_object;
  std::string tag_object;
};
struct HttpMeta {
  Digest checksum;
  std::string filename;
  std::optional<Time> last_modified;
  std::optional<std::pair<std::string, std::string>> checksum_response;  // digest, suffix
};
struct SourceMeta {
  graph::SourceOp source;  // possibly rewritten by a policy
  std::optional<ImageMeta> image;
  std::optional<GitMeta> git;
  std::optional<HttpMeta> http;
};

struct Warning {
  Digest vertex;
  int level = 1;
  std::string short_text;
  std::vector<std::string> detail;
  std::string url;
  std::optional<graph::SourceRef> source;
};

// A device that steps may ask for (RUN --device).
struct WorkerDevice {
  std::string name;         // "vendor.com/class=name"
  bool auto_allow = false;  // without an entitlement
  std::map<std::string, std::string> annotations;
};

struct WorkerInfo {
  std::string id;
  std::map<std::string, std::string> labels;
  std::vector<Platform> platforms;
  std::vector<WorkerDevice> devices;
};

// What the frontend was asked to do, and by whom.
struct BuildOptions {
  std::map<std::string, std::string> opts;  // "filename", "target", "build-arg:X", …
  std::string session_id;
  std::string product;  // "buildkit"
  std::vector<WorkerInfo> workers;
  graph::CapSet llb_caps;
  graph::CapSet caps;  // of the gateway
};

// The port. Implementers: any thread, several calls at once; every call may block until done or
// stopped; errors keep their typed details. It exists because frontends are tested without a solver
// and run both inside and outside the daemon.
class Bridge {
 public:
  virtual ~Bridge() = default;
  virtual const BuildOptions& options() const = 0;
  // The graphs given as inputs by name; they live as long as the bridge.
  virtual Result<std::map<std::string, graph::Definition>> inputs(std::stop_token stop) = 0;
  virtual Result<SolveResult> solve(const SolveRequest& request, std::stop_token stop) = 0;
  // `ref` is a normalised image reference.
  virtual Result<ImageConfig> resolve_image_config(const std::string& ref, const ResolveOptions& options,
                                                   std::stop_token stop) = 0;
  virtual Result<SourceMeta> resolve_source(const graph::SourceOp& source, const std::optional<Platform>& platform,
                                            const ResolveOptions& options, std::stop_token stop) = 0;
  virtual Status warn(const Warning& warning) = 0;
};

// A frontend inside this program. Immutable; any thread.
class Frontend {
 public:
  virtual ~Frontend() = default;
  virtual Result<SolveResult> build(Bridge& bridge, std::stop_token stop) const = 0;
};

}  // namespace kiln::frontend
