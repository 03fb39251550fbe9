// The operations of a build graph as plain data: what a step is, before anybody runs it.
// Frontends make these (through graph/build), clients send them as bytes (graph/definition.h),
// vertices carry them decoded (graph/vertex.h), rooms solve, op and source read them.
//
//   if (const auto* exec = std::get_if<ExecOp>(&op.kind)) run(exec->meta.args);
//
// Format: LLB, moby/buildkit solver/pb/ops.proto. A member stands for the field of the same name;
// std::optional stands for "the message field was present", which cache keys tell apart. All types
// are values without invariants; what is valid is decided by graph/validate.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "base/platform.h"
#include "graph/source_map.h"

namespace kiln::graph {

// Input and output indexes with a meaning of their own.
inline constexpr std::int64_t kNoInput = -1;     // the empty tree
inline constexpr std::int64_t kSkipOutput = -1;  // nobody may use this output
inline constexpr const char* kRootMount = "/";

// Output `index` of the op whose bytes hash to `digest`.
struct Input {
  std::string digest;
  std::int64_t index = 0;
  bool operator==(const Input&) const = default;
};

// ---- exec ---------------------------------------------------------------------------------

struct ProxyEnv {
  std::string http_proxy;
  std::string https_proxy;
  std::string ftp_proxy;
  std::string no_proxy;
  std::string all_proxy;
  bool operator==(const ProxyEnv&) const = default;
};

struct HostIp {
  std::string host;
  std::string ip;
};

struct Ulimit {
  std::string name;
  std::int64_t soft = 0;
  std::int64_t hard = 0;
};

struct Meta {
  std::vector<std::string> args;
  std::vector<std::string> env;  // "KEY=value"
  std::string cwd;
  std::string user;
  std::optional<ProxyEnv> proxy_env;
  std::vector<HostIp> extra_hosts;
  std::string hostname;
  std::vector<Ulimit> ulimits;
  std::string cgroup_parent;
  bool remove_mount_stubs_recursive = false;
  std::vector<std::int32_t> valid_exit_codes;
};

enum class NetMode { kSandbox = 0, kHost = 1, kNone = 2 };
enum class SecurityMode { kSandbox = 0, kInsecure = 1 };
enum class MountType { kBind = 0, kSecret = 1, kSsh = 2, kCache = 3, kTmpfs = 4 };
enum class CacheSharing { kShared = 0, kPrivate = 1, kLocked = 2 };
enum class ContentCache { kDefault = 0, kOn = 1, kOff = 2 };

struct TmpfsOpt {
  std::int64_t size = 0;  // bytes, 0 = no limit
};
struct CacheOpt {
  std::string id;
  CacheSharing sharing = CacheSharing::kShared;
};
// Of a secret file or an ssh socket.
struct SessionFileOpt {
  std::string id;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0;
  bool optional = false;
};

struct Mount {
  std::int64_t input = kNoInput;
  std::string selector;
  std::string dest;
  std::int64_t output = kSkipOutput;
  bool readonly = false;
  MountType type = MountType::kBind;
  std::optional<TmpfsOpt> tmpfs;
  std::optional<CacheOpt> cache;
  std::optional<SessionFileOpt> secret;
  std::optional<SessionFileOpt> ssh;
  std::string result_id;
  ContentCache content_cache = ContentCache::kDefault;
};

struct SecretEnv {
  std::string id;
  std::string name;
  bool optional = false;
};

struct CdiDevice {
  std::string name;
  bool optional = false;
};

struct ExecOp {
  Meta meta;
  bool has_meta = true;  // false: the message field was absent; validation refuses it
  std::vector<Mount> mounts;
  NetMode network = NetMode::kSandbox;
  SecurityMode security = SecurityMode::kSandbox;
  std::vector<SecretEnv> secret_env;
  std::vector<CdiDevice> cdi_devices;
};

// ---- source -------------------------------------------------------------------------------

// identifier: "docker-image://…", "git://…", "local://…", "https://…", "oci-layout://…"; names of
// the attributes stand in graph/attributes.h.
struct SourceOp {
  std::string identifier;
  std::map<std::string, std::string> attrs;
};

// ---- file ---------------------------------------------------------------------------------

struct NamedUser {
  std::string name;
  std::int64_t input = kNoInput;  // whose etc/passwd tells the id
};
// std::monostate: the message was there, but said nothing.
using UserRef = std::variant<std::monostate, NamedUser, std::uint32_t>;
struct Chown {
  std::optional<UserRef> user;
  std::optional<UserRef> group;
};

// Times are nanoseconds since 1970; -1 means "now" or "keep".
struct CopyAction {
  std::string src;
  std::string dest;
  std::optional<Chown> owner;
  std::int32_t mode = -1;  // -1: keep
  bool follow_symlink = false;
  bool dir_copy_contents = false;
  bool attempt_unpack = false;  // attemptUnpackDockerCompatibility
  bool create_dest_path = false;
  bool allow_wildcard = false;
  bool allow_empty_wildcard = false;
  std::int64_t timestamp = -1;
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  bool always_replace_existing_dest_paths = false;
  std::string mode_str;  // "u=rwX,go=rX"
  std::vector<std::string> required_paths;
};
struct MkfileAction {
  std::string path;
  std::int32_t mode = 0;
  std::string data;
  std::optional<Chown> owner;
  std::int64_t timestamp = -1;
};
struct MkdirAction {
  std::string path;
  std::int32_t mode = 0;
  bool make_parents = false;
  std::optional<Chown> owner;
  std::int64_t timestamp = -1;
};
struct RmAction {
  std::string path;
  bool allow_not_found = false;
  bool allow_wildcard = false;
};
struct SymlinkAction {
  std::string old_path;
  std::string new_path;
  std::optional<Chown> owner;
  std::int64_t timestamp = -1;
};

struct FileAction {
  // An input of the op, or (number of inputs + index of an earlier action), or kNoInput.
  std::int64_t input = kNoInput;
  std::int64_t secondary_input = kNoInput;
  std::int64_t output = kSkipOutput;
  std::variant<std::monostate, CopyAction, MkfileAction, MkdirAction, RmAction, SymlinkAction> action;
};

struct FileOp {
  std::vector<FileAction> actions;
};

// ---- the rest -----------------------------------------------------------------------------

struct BuildOp {
  std::int64_t builder = kNoInput;  // kNoInput: the input itself is a serialised definition
  std::map<std::string, std::int64_t> inputs;
  std::optional<std::string> definition;  // serialised pb.Definition
  std::map<std::string, std::string> attrs;
};

struct MergeOp {
  std::vector<std::int64_t> inputs;
};

struct DiffOp {
  std::optional<std::int64_t> lower;  // absent: the message field was absent; validation refuses it
  std::optional<std::int64_t> upper;
};

struct PassthroughOp {
  std::string id;
  std::vector<std::int64_t> outputs;  // output i is input outputs[i]
};

// std::monostate: the sink that ends a definition and points at its result.
using OpKind = std::variant<std::monostate, ExecOp, SourceOp, FileOp, BuildOp, MergeOp, DiffOp, PassthroughOp>;

struct Op {
  std::vector<Input> inputs;
  OpKind kind;
  std::optional<Platform> platform;
  std::optional<std::vector<std::string>> constraints;  // worker filters; present is told from absent

  bool is_sink() const { return std::holds_alternative<std::monostate>(kind); }
};

// Number of outputs that other ops may name: exec and file ops have one for each output index they
// give away, a passthrough has its list, every other op has one.
int output_count(const Op& op);

// ---- metadata: not part of the digest -----------------------------------------------------

struct ProgressGroup {
  std::string id;
  std::string name;
  bool weak = false;
};

struct LinuxResources {
  std::int64_t memory = 0;       // bytes
  std::int64_t memory_swap = 0;  // bytes; -1 = no limit
  std::uint64_t cpu_shares = 0;
  std::uint64_t cpu_period = 0;  // microseconds
  std::int64_t cpu_quota = 0;    // microseconds
  std::string cpuset_cpus;
  std::string cpuset_mems;
  bool operator==(const LinuxResources&) const = default;
};

struct OpMetadata {
  bool ignore_cache = false;
  std::map<std::string, std::string> description;  // "llb.customname", "com.docker.dockerfile.v1.command"
  std::optional<bool> export_cache;
  std::map<std::string, bool> caps;  // what the op needs of the daemon, see graph/caps.h
  std::optional<ProgressGroup> progress_group;
  std::optional<LinuxResources> linux_resources;
};

}  // namespace kiln::graph
