#include "frontend/dockerfile/lower/run_mounts.h"

#include <fmt/format.h>

#include "base/gopath.h"
#include "base/value.h"
#include "frontend/dockerfile/lower/paths.h"
#include "graph/build/file.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

Status add_secret(StepContext& at, const Mount& mount, gb::RunSpec& spec) {
  std::string id = !mount.source.empty() ? mount.source : mount.id;
  if (id.empty()) {
    if (mount.target.empty()) return invalid("one of source, target required");
    id = std::string(base_name(mount.target));
  }
  gb::SecretSpec secret{.id = id, .env = mount.env, .optional = !mount.required};
  if (!mount.target.empty()) {
    secret.target = mount.target;
  } else if (!mount.env) {
    secret.target = "/run/secrets/" + std::string(base_name(id));
  }
  if (mount.uid || mount.gid || mount.mode) {
    secret.uid = mount.uid.value_or(0);
    secret.gid = mount.gid.value_or(0);
    secret.mode = mount.mode.value_or(0400);
  }
  at.stage.outline.secrets.try_emplace(id, SessionInfo{mount.required, at.ranges()});
  spec.secrets.push_back(std::move(secret));
  return ok();
}

Status add_ssh(StepContext& at, const Mount& mount, gb::RunSpec& spec) {
  if (!mount.source.empty()) return invalid("ssh does not support source");
  at.stage.outline.ssh.try_emplace(mount.id.empty() ? "default" : mount.id, SessionInfo{mount.required, at.ranges()});
  gb::SshSpec ssh{.id = mount.id, .target = mount.target, .optional = !mount.required};
  if (mount.uid || mount.gid || mount.mode) {
    ssh.uid = mount.uid.value_or(0);
    ssh.gid = mount.gid.value_or(0);
    ssh.mode = mount.mode.value_or(0600);
  }
  spec.ssh.push_back(std::move(ssh));
  return ok();
}

graph::CacheOpt cache_of(const StepContext& at, const Mount& mount) {
  const std::string id = mount.id.empty() ? clean_path(mount.target) : mount.id;
  graph::CacheOpt out{.id = at.lowering.request().cache_namespace + "/" + id};
  if (mount.sharing == Sharing::kPrivate) out.sharing = graph::CacheSharing::kPrivate;
  if (mount.sharing == Sharing::kLocked) out.sharing = graph::CacheSharing::kLocked;
  return out;
}

// A cache begins as a directory of the owner and mode asked for.
gb::State owned_directory(const gb::State& state, const Mount& mount) {
  gb::FileSteps steps;
  steps.mkdir("/cache", static_cast<std::int32_t>(mount.mode.value_or(0755)),
              {.owner = gb::Owner::ids(mount.uid.value_or(0), mount.gid.value_or(0))});
  return gb::file(state, steps, gb::Constraints().name("[internal] setting cache mount permissions"));
}

Status add_tree(StepContext& at, const Mount& mount, StageState* source, gb::RunSpec& spec) {
  const std::string from = mount.from.empty() && mount.type == MountType::kCache ? "scratch" : mount.from;
  if (!from.empty() && !source->lowered) {
    return word_fault(from,
                      fmt::format("cannot mount from stage {} to {}, stage needs to be defined before current command",
                                  quote(from), quote(mount.target)));
  }
  gb::MountSpec out{.source = from.empty() ? at.lowering.build_context() : source->state};
  if (mount.type == MountType::kTmpfs) {
    out.source = gb::scratch();
    out.tmpfs_bytes = mount.size_bytes;
  }
  if (mount.read_only) {
    out.readonly = true;
  } else if (mount.type == MountType::kBind && at.lowering.caps().supports(graph::kCapExecMountBindReadWriteNoOutput)) {
    out.no_output = true;
  }
  if (mount.type == MountType::kCache) out.cache = cache_of(at, mount);
  out.target = mount.target;
  if (!is_absolute_path(clean_path(mount.target))) {
    out.target = join_path({"/", at.stage.state.settings().dir, mount.target});
  }
  if (out.target == "/") return word_fault(mount.target, fmt::format("invalid mount target {}", quote(out.target)));
  const std::string path = used_path(mount.source);
  if (path != "/") {
    out.selector = path;
  } else if (mount.uid || mount.gid || mount.mode) {
    out.source = owned_directory(out.source, mount);
    out.selector = "/cache";
  }
  spec.mounts.push_back(std::move(out));
  (from.empty() ? at.stage.context_paths : *source->paths).insert(path);
  return ok();
}

}  // namespace

Status add_run_mounts(StepContext& at, const Run& run, gb::RunSpec& spec) {
  for (std::size_t i = 0; i < run.mounts.size(); ++i) {
    const Mount& mount = run.mounts[i];
    switch (mount.type) {
      case MountType::kSecret: KILN_RETURN_IF_ERROR(add_secret(at, mount, spec)); break;
      case MountType::kSsh: KILN_RETURN_IF_ERROR(add_ssh(at, mount, spec)); break;
      default:
        if (i >= at.step.sources.size()) return engine_error("a mount of RUN has no source stage");
        KILN_RETURN_IF_ERROR(add_tree(at, mount, at.step.sources[i], spec));
    }
  }
  return ok();
}

}  // namespace kiln::frontend::dockerfile
