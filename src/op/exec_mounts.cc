#include "op/exec_mounts.h"

#include <algorithm>

#include "base/gopath.h"
#include "base/quote.h"
#include "session/secrets.h"

namespace kiln::op {
namespace {

std::string_view type_name(graph::MountType type) {
  switch (type) {
    case graph::MountType::kBind: return "BIND";
    case graph::MountType::kSecret: return "SECRET";
    case graph::MountType::kSsh: return "SSH";
    case graph::MountType::kCache: return "CACHE";
    case graph::MountType::kTmpfs: return "TMPFS";
  }
  return "UNKNOWN";
}

host::MountSpec tmpfs_spec(const graph::Mount& mount) {
  host::MountSpec spec{"tmpfs", "tmpfs", {"nosuid"}};
  if (mount.readonly) spec.options.push_back("ro");
  if (mount.tmpfs && mount.tmpfs->size > 0) spec.options.push_back(fmt::format("size={}", mount.tmpfs->size));
  return spec;
}

}  // namespace

ExecMounts::ExecMounts(const graph::ExecOp& op, const OpPorts& ports, std::vector<store::TreeRef> inputs,
                       std::string description)
    : op_(op),
      ports_(ports),
      inputs_(std::move(inputs)),
      description_(std::move(description)),
      slots_(op.mounts.size()) {}

ExecMounts::~ExecMounts() = default;

store::TreeRef ExecMounts::input_of(const graph::Mount& mount) const {
  return mount.input == graph::kNoInput ? nullptr : inputs_[static_cast<std::size_t>(mount.input)];
}

Status ExecMounts::prepare(solve::RunContext& context) {
  for (std::size_t i = 0; i < op_.mounts.size(); ++i) KILN_RETURN_IF_ERROR(prepare_mount(i, context));
  if (root_.type.empty()) return user_error(Code::kInvalidArgument, "no root mount");
  // Parents before children.
  std::vector<std::size_t> order(mounts_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return mounts_[a].target < mounts_[b].target; });
  std::vector<sandbox::Mount> sorted;
  std::vector<std::size_t> indexes;
  for (std::size_t at : order) {
    sorted.push_back(std::move(mounts_[at]));
    indexes.push_back(mount_indexes_[at]);
  }
  mounts_ = std::move(sorted);
  mount_indexes_ = std::move(indexes);
  return ok();
}

Status ExecMounts::prepare_mount(std::size_t index, solve::RunContext& context) {
  const graph::Mount& mount = op_.mounts[index];
  const bool is_root = mount.dest == graph::kRootMount;
  if (is_root && mount.type != graph::MountType::kBind) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid mount type {} for {}", type_name(mount.type), mount.dest));
  }
  if (mount.input != graph::kNoInput && (mount.input < 0 || mount.input >= static_cast<std::int64_t>(inputs_.size()))) {
    return user_error(Code::kInvalidArgument, fmt::format("missing input {}", mount.input));
  }
  sandbox::Mount out;
  bool wanted = true;
  switch (mount.type) {
    case graph::MountType::kBind: {
      KILN_ASSIGN_OR_RETURN(out.what, prepare_bind(index, context));
      break;
    }
    case graph::MountType::kCache: {
      KILN_ASSIGN_OR_RETURN(out.what, prepare_cache(index, context));
      out.exclusive = input_of(mount) != nullptr;
      break;
    }
    case graph::MountType::kTmpfs: out.what = tmpfs_spec(mount); break;
    case graph::MountType::kSecret: {
      KILN_ASSIGN_OR_RETURN(wanted, prepare_secret(mount, out, context));
      break;
    }
    case graph::MountType::kSsh: {
      KILN_ASSIGN_OR_RETURN(wanted, prepare_ssh(mount, out, context));
      break;
    }
  }
  if (!wanted) return ok();
  if (is_root) {
    root_ = std::move(out.what);
    root_readonly_ = mount.readonly;
    return ok();
  }
  out.target = is_absolute_path(clean_path(mount.dest)) ? mount.dest : join_path({"/", op_.meta.cwd, mount.dest});
  out.selector = mount.selector;
  mounts_.push_back(std::move(out));
  mount_indexes_.push_back(index);
  return ok();
}

Result<host::MountSpec> ExecMounts::make_work(std::size_t index, solve::RunContext& context) {
  const graph::Mount& mount = op_.mounts[index];
  Slot& slot = slots_[index];
  KILN_ASSIGN_OR_RETURN(
      slot.work,
      ports_.trees->make_mutable(
          input_of(mount), {.description = fmt::format("mount {} from {}", mount.dest, description_)}, context.stop));
  // The root is writable beneath what the process sees, so that places for mounts can be made.
  const bool readonly = mount.readonly && mount.dest != graph::kRootMount;
  return readonly ? slot.work->mount_readonly() : slot.work->mount();
}

Result<host::MountSpec> ExecMounts::prepare_bind(std::size_t index, solve::RunContext& context) {
  const graph::Mount& mount = op_.mounts[index];
  const bool is_root = mount.dest == graph::kRootMount;
  store::TreeRef input = input_of(mount);
  const bool has_input = mount.input != graph::kNoInput;
  if (mount.output != graph::kSkipOutput) {
    slots_[index].is_output = true;
    if (!(mount.readonly && has_input && !is_root)) return make_work(index, context);
    slots_[index].output = input;  // cannot change: what goes in comes out
  } else if (is_root || !mount.readonly || !has_input) {
    return make_work(index, context);  // thrown away afterwards
  }
  if (!input) return make_work(index, context);  // an empty tree has nothing to bind
  return ports_.trees->mount(input, context.stop);
}

Result<host::MountSpec> ExecMounts::prepare_cache(std::size_t index, solve::RunContext& context) {
  const graph::Mount& mount = op_.mounts[index];
  if (!mount.cache) return user_error(Code::kInvalidArgument, "missing cache mount options");
  store::TreeRef input = input_of(mount);
  std::string name = fmt::format("cached mount {} from {}", mount.dest, description_);
  if (mount.cache->id != mount.dest) name += fmt::format(" with id {}", quote(mount.cache->id));
  std::shared_ptr<CacheMount>& held = caches_[mount.cache->id + ":" + (input ? input->id() : "")];
  if (!held) {
    KILN_ASSIGN_OR_RETURN(
        held, ports_.cache_mounts->get(
                  *ports_.trees,
                  {.id = mount.cache->id, .sharing = mount.cache->sharing, .initial = input, .description = name},
                  context.stop));
  }
  if (mount.output != graph::kSkipOutput && mount.input != graph::kNoInput) {
    slots_[index].is_output = true;
    slots_[index].output = input;
  }
  return mount.readonly ? held->mount_readonly() : held->mount();
}

Result<bool> ExecMounts::prepare_secret(const graph::Mount& mount, sandbox::Mount& out, solve::RunContext& context) {
  if (!mount.secret) return user_error(Code::kInvalidArgument, "invalid secret mount options");
  if (mount.secret->id.empty()) return user_error(Code::kInvalidArgument, "secret ID missing from mount options");
  auto asker = session::secret_asker(sessions_of(ports_, context));
  KILN_ASSIGN_OR_RETURN(std::optional<std::string> text, asker->get_secret(mount.secret->id, context.stop));
  if (!text) {
    if (mount.secret->optional) return false;
    return user_error(Code::kNotFound, fmt::format("secret {}: not found", mount.secret->id));
  }
  const std::uint32_t mode = mount.secret->mode & 0777;
  out.file = std::make_shared<sandbox::InlineFile>(
      sandbox::InlineFile{.bytes = std::move(*text), .uid = mount.secret->uid, .gid = mount.secret->gid, .mode = mode});
  return true;
}

Result<bool> ExecMounts::prepare_ssh(const graph::Mount& mount, sandbox::Mount& out, solve::RunContext& context) {
  if (!mount.ssh) return user_error(Code::kInvalidArgument, "invalid ssh mount options");
  auto asker = session::ssh_asker(sessions_of(ports_, context));
  if (Status offered = asker->check(mount.ssh->id, context.stop); !offered.ok()) {
    if (mount.ssh->optional && !is_cancelled(offered)) return false;
    return offered;
  }
  KILN_ASSIGN_OR_RETURN(
      std::unique_ptr<session::SshSocket> socket,
      asker->forward(
          {.id = mount.ssh->id, .uid = mount.ssh->uid, .gid = mount.ssh->gid, .mode = mount.ssh->mode & 0777},
          context.stop));
  out.what = {"bind", socket->path(), {"rbind"}};
  sockets_.push_back(std::move(socket));
  return true;
}

Result<std::vector<store::TreeRef>> ExecMounts::commit_outputs() {
  std::vector<store::TreeRef> out;
  for (Slot& slot : slots_) {
    if (!slot.is_output) continue;
    if (slot.work) {
      KILN_ASSIGN_OR_RETURN(slot.output, slot.work->commit());
      slot.work.reset();
    }
    out.push_back(slot.output);
  }
  return out;
}

std::vector<store::TreeRef> ExecMounts::input_trees() const {
  std::vector<store::TreeRef> out;
  for (const graph::Mount& mount : op_.mounts) {
    const bool known = mount.input >= 0 && mount.input < static_cast<std::int64_t>(inputs_.size());
    out.push_back(known ? input_of(mount) : nullptr);
  }
  return out;
}

std::vector<store::TreeRef> ExecMounts::left_trees() {
  std::vector<store::TreeRef> out = input_trees();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].work) {
      if (Result<store::TreeRef> left = slots_[i].work->commit(); left.ok()) slots_[i].output = *left;
      slots_[i].work.reset();
    }
    if (slots_[i].output) out[i] = slots_[i].output;
  }
  return out;
}

}  // namespace kiln::op
