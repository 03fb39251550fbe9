#include "graph/build/exec.h"

#include <algorithm>

#include <fmt/format.h>

#include "graph/build/node.h"

namespace kiln::graph::build {
namespace {

constexpr const char* kPathUnix = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool gives_output(const MountSpec& mount) {
  return !mount.readonly && !mount.no_output && !mount.cache && !mount.tmpfs_bytes;
}

class ExecNode final : public Node {
 public:
  ExecNode(const State& base, RunSpec spec, Constraints constraints)
      : Node(std::move(constraints)),
        spec_(std::move(spec)),
        settings_(spec_.settings ? *spec_.settings : base.settings()) {
    spec_.settings.reset();
    MountSpec root;
    root.target = kRootMount;
    root.source = base;
    root.readonly = spec_.readonly_root;
    spec_.mounts.insert(spec_.mounts.begin(), std::move(root));
    std::stable_sort(spec_.mounts.begin(), spec_.mounts.end(),
                     [](const auto& a, const auto& b) { return a.target < b.target; });
    for (const auto& mount : spec_.mounts) add_once(inputs_, mount.source.output());
  }

  const std::vector<MountSpec>& mounts() const { return spec_.mounts; }

  Result<Made> make(const Defaults& defaults, const InputOf& input_of) const override {
    if (spec_.args.empty()) return user_error(Code::kInvalidArgument, "arguments are required");
    if (settings_.dir.empty()) return user_error(Code::kInvalidArgument, "working directory is required");
    Made made = start(defaults, settings_.platform);
    std::vector<SshSpec> sockets = spec_.ssh;
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      if (sockets[i].target.empty()) sockets[i].target = fmt::format("/run/buildkit/ssh_agent.{}", i);
    }
    ExecOp exec;
    exec.meta = meta(made, defaults, sockets);
    exec.network = settings_.network;
    exec.security = settings_.security;
    exec.cdi_devices = spec_.devices;
    add_caps(made.metadata.caps);
    KILN_RETURN_IF_ERROR(add_mounts(exec, made.op, input_of));
    add_session_mounts(exec, sockets);
    made.op.kind = std::move(exec);
    return made;
  }

 private:
  Meta meta(Made& made, const Defaults& defaults, const std::vector<SshSpec>& sockets) const {
    auto& caps = made.metadata.caps;
    EnvList env = settings_.env;
    if (!sockets.empty() && !env.get("SSH_AUTH_SOCK")) env.set("SSH_AUTH_SOCK", sockets.front().target);
    Meta meta{.args = spec_.args,
              .env = env.entries(),
              .cwd = settings_.dir,
              .user = settings_.user,
              .proxy_env = spec_.proxy,
              .extra_hosts = settings_.extra_hosts,
              .hostname = settings_.hostname,
              .ulimits = settings_.ulimits,
              .cgroup_parent = settings_.cgroup_parent,
              .remove_mount_stubs_recursive = true,
              .valid_exit_codes = settings_.valid_exit_codes.value_or(std::vector<std::int32_t>{})};
    if (defaults.caps != nullptr) {
      if (defaults.caps->supports(kCapExecMetaSetsDefaultPath)) {
        caps[kCapExecMetaSetsDefaultPath] = true;
      } else if (defaults.platform.os != "windows" && !env.get("PATH")) {
        meta.env.push_back(kPathUnix);
      }
    }
    return meta;
  }

  void add_caps(std::map<std::string, bool>& caps) const {
    auto need = [&caps](const char* cap, bool needed) {
      if (needed) caps[cap] = true;
    };
    need(kCapExecMetaBase, true);
    need(kCapExecValidExitCode, settings_.valid_exit_codes.has_value());
    need(kCapExecMetaUlimit, !settings_.ulimits.empty());
    need(kCapExecMetaLinuxResources, constraints_.metadata.linux_resources.has_value());
    need(kCapExecMetaNetwork, settings_.network != NetMode::kSandbox);
    need(kCapExecMetaSecurity, settings_.security == SecurityMode::kInsecure);
    need(kCapExecMetaProxy, spec_.proxy.has_value());
    need(kCapExecMetaCdi, !spec_.devices.empty());
    need(kCapExecMountSsh, !spec_.ssh.empty());
    need(kCapExecMountSecret, !spec_.secrets.empty());
    for (const auto& secret : spec_.secrets) need(kCapExecSecretEnv, secret.env.has_value());
    for (const auto& mount : spec_.mounts) {
      need(kCapExecMountSelector, !mount.selector.empty());
      need(kCapExecMountCache, mount.cache.has_value());
      need(kCapExecMountCacheSharing, mount.cache.has_value());
      need(kCapExecMountTmpfs, !mount.cache && mount.tmpfs_bytes.has_value());
      need(kCapExecMountTmpfsSize, !mount.cache && mount.tmpfs_bytes.value_or(0) > 0);
      need(kCapExecMountBind, !mount.cache && !mount.tmpfs_bytes && !mount.source.is_scratch());
      need(kCapExecMountContentCache, mount.content_cache != ContentCache::kDefault);
    }
  }

  Status add_mounts(ExecOp& exec, Op& op, const InputOf& input_of) const {
    std::int64_t next_output = 0;
    for (const auto& spec : spec_.mounts) {
      Mount mount{.selector = spec.selector, .dest = spec.target, .readonly = spec.readonly};
      if (!spec.source.is_scratch()) {
        if (spec.tmpfs_bytes) return user_error(Code::kInvalidArgument, "tmpfs mounts must use scratch");
        if (auto input = input_of(spec.source.output())) mount.input = input_index(op, *input);
      }
      if (gives_output(spec)) mount.output = next_output++;
      if (spec.cache) {
        mount.type = MountType::kCache;
        mount.cache = spec.cache;
      }
      mount.content_cache = spec.content_cache;
      if (spec.tmpfs_bytes) {
        mount.type = MountType::kTmpfs;
        mount.tmpfs = TmpfsOpt{*spec.tmpfs_bytes};
      }
      exec.mounts.push_back(std::move(mount));
    }
    return ok();
  }

  // Outputs of these mounts stay 0: older writers did so, and it is part of the bytes.
  void add_session_mounts(ExecOp& exec, const std::vector<SshSpec>& sockets) const {
    for (const auto& secret : spec_.secrets) {
      if (secret.env) exec.secret_env.push_back({secret.id, *secret.env, secret.optional});
      if (!secret.target) continue;
      exec.mounts.push_back(
          {.dest = *secret.target,
           .output = 0,
           .type = MountType::kSecret,
           .secret = SessionFileOpt{secret.id, secret.uid, secret.gid, secret.mode, secret.optional}});
    }
    for (const auto& ssh : sockets) {
      exec.mounts.push_back({.dest = ssh.target,
                             .output = 0,
                             .type = MountType::kSsh,
                             .ssh = SessionFileOpt{ssh.id, ssh.uid, ssh.gid, ssh.mode, ssh.optional}});
    }
  }

  RunSpec spec_;
  Settings settings_;
};

}  // namespace

RunResult run_with_mounts(const State& base, const RunSpec& spec, const Constraints& constraints) {
  auto node = std::make_shared<ExecNode>(base, spec, constraints);
  RunResult result{.root = base};
  std::int64_t next_output = 0;
  bool root_seen = false;
  for (const auto& mount : node->mounts()) {
    if (!gives_output(mount)) continue;
    const Output output{node, next_output++};
    if (mount.target == kRootMount && !root_seen) {
      root_seen = true;
      result.root = base.with_output(output);
      if (constraints.platform) result.root = result.root.with_platform(*constraints.platform);
    } else {
      result.mounts.emplace_back(mount.target, mount.source.with_output(output));
    }
  }
  return result;
}

State run(const State& base, const RunSpec& spec, const Constraints& constraints) {
  return run_with_mounts(base, spec, constraints).root;
}

}  // namespace kiln::graph::build
