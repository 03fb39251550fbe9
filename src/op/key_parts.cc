#include "op/key_parts.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/text.h"
#include "graph/attributes.h"
#include "op/tree_output.h"

namespace kiln::op {
namespace {

// More than this is told by directory: what is kept of a step stays small.
constexpr std::size_t kFilesMax = 3000;

using Parts = std::vector<event::KeyPart>;

void add(Parts& parts, std::string name, std::string value) {
  if (!value.empty()) parts.push_back({std::move(name), std::move(value)});
}

std::string mount_text(const graph::Mount& mount) {
  std::string out;
  switch (mount.type) {
    case graph::MountType::kBind: out = "bind"; break;
    case graph::MountType::kSecret: out = "secret"; break;
    case graph::MountType::kSsh: out = "ssh"; break;
    case graph::MountType::kCache: out = "cache"; break;
    case graph::MountType::kTmpfs: out = "tmpfs"; break;
  }
  if (mount.readonly) out += ", read-only";
  if (!mount.selector.empty()) out += fmt::format(", from '{}'", mount.selector);
  if (mount.cache && !mount.cache->id.empty()) out += fmt::format(", id '{}'", mount.cache->id);
  if (mount.secret) out += fmt::format(", id '{}'", mount.secret->id);
  if (mount.ssh) out += fmt::format(", id '{}'", mount.ssh->id);
  if (mount.tmpfs && mount.tmpfs->size != 0) out += fmt::format(", {} bytes", mount.tmpfs->size);
  return out;
}

std::string id_text(const graph::UserRef& ref) {
  if (const auto* named = std::get_if<graph::NamedUser>(&ref)) return named->name;
  if (const auto* id = std::get_if<std::uint32_t>(&ref)) return fmt::format("{}", *id);
  return "";
}

std::string owner_text(const std::optional<graph::Chown>& owner) {
  if (!owner) return "";
  return fmt::format(", owner {}:{}", owner->user ? id_text(*owner->user) : "",
                     owner->group ? id_text(*owner->group) : "");
}

std::string time_text(std::int64_t timestamp) {
  return timestamp < 0 ? "" : fmt::format(", time {}", timestamp / 1'000'000'000);
}

std::string patterns_text(std::string_view name, const std::vector<std::string>& patterns) {
  return patterns.empty() ? "" : fmt::format(", {} {}", name, join(patterns, " "));
}

struct ActionText {
  std::string operator()(const std::monostate&) const { return ""; }
  std::string operator()(const graph::CopyAction& a) const {
    std::string mode = !a.mode_str.empty() ? a.mode_str : a.mode >= 0 ? fmt::format("{:o}", a.mode) : "";
    return fmt::format("copy '{}' to '{}'{}{}{}{}{}{}", a.src, a.dest, mode.empty() ? "" : ", mode " + mode,
                       owner_text(a.owner), time_text(a.timestamp), patterns_text("only", a.include_patterns),
                       patterns_text("without", a.exclude_patterns), a.attempt_unpack ? ", unpacked" : "");
  }
  std::string operator()(const graph::MkfileAction& a) const {
    return fmt::format("make file '{}', mode {:o}, content {}{}{}", a.path, a.mode,
                       Digest::of(a.data).str().substr(0, 19), owner_text(a.owner), time_text(a.timestamp));
  }
  std::string operator()(const graph::MkdirAction& a) const {
    return fmt::format("make directory '{}', mode {:o}{}{}", a.path, a.mode, owner_text(a.owner),
                       time_text(a.timestamp));
  }
  std::string operator()(const graph::RmAction& a) const { return fmt::format("remove '{}'", a.path); }
  std::string operator()(const graph::SymlinkAction& a) const {
    return fmt::format("link '{}' to '{}'{}{}", a.new_path, a.old_path, owner_text(a.owner), time_text(a.timestamp));
  }
};

void add_meta(Parts& parts, const graph::Meta& meta) {
  add(parts, "command", join(meta.args, " "));
  for (const std::string& variable : meta.env) {
    auto [name, value] = split_once(variable, '=');
    parts.push_back({fmt::format("env {}", name), std::string(value)});
  }
  add(parts, "working directory", meta.cwd);
  add(parts, "user", meta.user);
  add(parts, "hostname", meta.hostname);
  for (const graph::HostIp& host : meta.extra_hosts) add(parts, fmt::format("extra host {}", host.host), "listed");
  for (const graph::Ulimit& limit : meta.ulimits) {
    add(parts, fmt::format("ulimit {}", limit.name), fmt::format("{}:{}", limit.soft, limit.hard));
  }
  add(parts, "cgroup parent", meta.cgroup_parent);
}

}  // namespace

std::vector<event::KeyPart> exec_parts(const graph::ExecOp& op, const std::optional<Platform>& platform) {
  Parts parts;
  add_meta(parts, op.meta);
  for (const graph::Mount& mount : op.mounts) {
    const bool plain_root = mount.dest == graph::kRootMount && mount.type == graph::MountType::kBind && !mount.readonly;
    if (!plain_root) add(parts, fmt::format("mount {}", mount.dest), mount_text(mount));
  }
  for (const graph::SecretEnv& secret : op.secret_env) {
    add(parts, fmt::format("secret variable {}", secret.name), fmt::format("id '{}'", secret.id));
  }
  for (const graph::CdiDevice& device : op.cdi_devices) add(parts, fmt::format("device {}", device.name), "wanted");
  if (op.network != graph::NetMode::kSandbox)
    add(parts, "network", op.network == graph::NetMode::kHost ? "host" : "none");
  if (op.security == graph::SecurityMode::kInsecure) add(parts, "security", "insecure");
  if (platform) add(parts, "platform", platform->normalized().str());
  return parts;
}

std::vector<event::KeyPart> file_parts(const graph::FileOp& op) {
  Parts parts;
  for (std::size_t i = 0; i < op.actions.size(); ++i) {
    std::string name = op.actions.size() == 1 ? "action" : fmt::format("action {}", i + 1);
    add(parts, std::move(name), std::visit(ActionText(), op.actions[i].action));
  }
  return parts;
}

std::vector<event::KeyPart> source_parts(const graph::SourceOp& op, const std::optional<Platform>& platform,
                                         const std::string& pin) {
  Parts parts;
  add(parts, "source", op.identifier);
  add(parts, "resolves to", pin);
  if (platform) add(parts, "platform", platform->normalized().str());
  for (const auto& [name, value] : op.attrs) {
    if (name == graph::kAttrOciLayoutSession || name == graph::kAttrLocalSession) continue;
    add(parts, fmt::format("attribute {}", name), value);
  }
  return parts;
}

void add_files(std::vector<event::FileSum>& out, const OpPorts& ports, const solve::OutputRef& output,
               std::string_view path, const store::ChecksumOptions& options, solve::RunContext& context) {
  if (out.size() >= kFilesMax) return;
  auto files = ports.trees->files_of(tree_of(output), path, options, kFilesMax - out.size(), context.stop);
  if (files.ok()) out.insert(out.end(), files->begin(), files->end());
}

}  // namespace kiln::op
