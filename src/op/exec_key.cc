#include "op/exec_key.h"

#include <algorithm>

#include "base/digest.h"
#include "base/gopath.h"
#include "base/text.h"
#include "content/json_text.h"

namespace kiln::op {
namespace {

using content::JsonWriter;

void integer_if(JsonWriter& w, std::string_view name, std::int64_t value) {
  if (value == 0) return;
  w.key(name);
  w.integer(value);
}

void true_if(JsonWriter& w, std::string_view name, bool value) {
  if (!value) return;
  w.key(name);
  w.boolean(true);
}

template <typename Items, typename Write>
void array_if(JsonWriter& w, std::string_view name, const Items& items, Write write) {
  if (items.empty()) return;
  w.key(name);
  w.begin_array();
  for (const auto& item : items) write(item);
  w.end_array();
}

void write_meta(JsonWriter& w, const graph::Meta& meta) {
  w.begin_object();
  w.strings_if("args", meta.args);
  w.strings_if("env", meta.env);
  w.string_if("cwd", meta.cwd);
  w.string_if("user", meta.user);
  array_if(w, "extraHosts", meta.extra_hosts, [&](const graph::HostIp& host) {
    w.begin_object();
    w.string_if("Host", host.host);  // where it points may change without changing the result
    w.end_object();
  });
  w.string_if("hostname", meta.hostname);
  array_if(w, "ulimit", meta.ulimits, [&](const graph::Ulimit& ulimit) {
    w.begin_object();
    w.string_if("Name", ulimit.name);
    integer_if(w, "Soft", ulimit.soft);
    integer_if(w, "Hard", ulimit.hard);
    w.end_object();
  });
  w.string_if("cgroupParent", meta.cgroup_parent);
  true_if(w, "removeMountStubsRecursive", meta.remove_mount_stubs_recursive);
  array_if(w, "validExitCodes", meta.valid_exit_codes, [&](std::int32_t code) { w.integer(code); });
  w.end_object();
}

void write_session_file(JsonWriter& w, std::string_view name, const std::optional<graph::SessionFileOpt>& file) {
  if (!file) return;
  w.key(name);
  w.begin_object();
  w.string_if("ID", file->id);
  integer_if(w, "uid", file->uid);
  integer_if(w, "gid", file->gid);
  integer_if(w, "mode", file->mode);
  true_if(w, "optional", file->optional);
  w.end_object();
}

// Ids that a Dockerfile makes by itself ("/root/.cache", "<namespace>//root/.cache") have always been
// part of the key; all others are the writer's private affair.
bool keeps_cache_id(const graph::Mount& mount) {
  if (mount.cache->sharing != graph::CacheSharing::kShared) return false;
  if (mount.cache->id == mount.dest) return true;
  const std::size_t slash = mount.cache->id.find('/');
  return slash != std::string::npos && std::string_view(mount.cache->id).substr(slash + 1) == mount.dest;
}

void write_mount(JsonWriter& w, const graph::Mount& mount) {
  w.begin_object();
  integer_if(w, "input", mount.input);
  w.string_if("dest", mount.dest);
  integer_if(w, "output", mount.output);
  true_if(w, "readonly", mount.readonly);
  integer_if(w, "mountType", static_cast<int>(mount.type));
  if (mount.tmpfs) {
    w.key("TmpfsOpt");
    w.begin_object();
    integer_if(w, "size", mount.tmpfs->size);
    w.end_object();
  }
  if (mount.cache) {
    w.key("cacheOpt");
    w.begin_object();
    if (keeps_cache_id(mount)) w.string_if("ID", mount.cache->id);
    w.end_object();
  }
  write_session_file(w, "secretOpt", mount.secret);
  write_session_file(w, "SSHOpt", mount.ssh);
  w.string_if("resultID", mount.result_id);
  integer_if(w, "contentCache", static_cast<int>(mount.content_cache));
  w.end_object();
}

// Mounts were once left out of keys by mistake; for the commonest case it stays so.
bool is_plain_root(const std::vector<graph::Mount>& mounts) {
  if (mounts.size() != 1) return false;
  const graph::Mount& mount = mounts[0];
  return mount.dest == graph::kRootMount && !mount.readonly && mount.type == graph::MountType::kBind && !mount.cache &&
         !mount.ssh && !mount.secret && mount.result_id.empty();
}

void write_exec(JsonWriter& w, const graph::ExecOp& op) {
  w.begin_object();
  if (op.has_meta) {
    w.key("meta");
    write_meta(w, op.meta);
  }
  if (!is_plain_root(op.mounts)) {
    array_if(w, "mounts", op.mounts, [&](const graph::Mount& mount) { write_mount(w, mount); });
  }
  integer_if(w, "network", static_cast<int>(op.network));
  integer_if(w, "security", static_cast<int>(op.security));
  array_if(w, "secretenv", op.secret_env, [&](const graph::SecretEnv& secret) {
    w.begin_object();
    w.string_if("ID", secret.id);
    w.string_if("name", secret.name);
    true_if(w, "optional", secret.optional);
    w.end_object();
  });
  array_if(w, "cdiDevices", op.cdi_devices, [&](const graph::CdiDevice& device) {
    w.begin_object();
    w.string_if("name", device.name);
    true_if(w, "optional", device.optional);
    w.end_object();
  });
  w.end_object();
}

bool sees_input(const graph::Mount& mount) {
  switch (mount.type) {
    case graph::MountType::kSecret:
    case graph::MountType::kSsh:
    case graph::MountType::kTmpfs: return false;
    case graph::MountType::kBind:
    case graph::MountType::kCache: return mount.input != graph::kNoInput;
  }
  return false;
}

// Content may stand for an input only where the step cannot pass on what the content leaves out: a
// writable part of a tree becomes an output together with its unseen rest.
Result<bool> keyed_by_content(const graph::Mount& mount, const std::string& selector) {
  const bool safe = mount.output == graph::kSkipOutput || mount.readonly || selector == graph::kRootMount;
  switch (mount.content_cache) {
    case graph::ContentCache::kOff: return false;
    case graph::ContentCache::kOn:
      if (!safe)
        return user_error(Code::kInvalidArgument, fmt::format("invalid mount cache content for '{}'", mount.dest));
      return true;
    case graph::ContentCache::kDefault:
      return safe && mount.dest != graph::kRootMount;  // hashing a root costs too much
  }
  return false;
}

}  // namespace

std::string exec_key_json(const graph::ExecOp& op, const std::optional<Platform>& platform) {
  const Platform at = platform ? *platform : Platform::host();
  JsonWriter w;
  w.begin_object();
  w.key("Type");
  w.string("buildkit.exec.v0");
  w.key("Exec");
  write_exec(w, op);
  w.key("OS");
  w.string(at.os);
  w.key("Arch");
  w.string(at.architecture);
  w.string_if("Variant", at.variant);
  w.string_if("OSVersion", at.os_version);
  w.strings_if("OSFeatures", at.os_features);
  w.end_object();
  return w.take();
}

Result<std::vector<InputView>> input_views(const graph::ExecOp& op, std::size_t input_count) {
  std::vector<InputView> views(input_count);
  for (const graph::Mount& mount : op.mounts) {
    if (!sees_input(mount)) continue;
    if (mount.input < 0 || mount.input >= static_cast<std::int64_t>(input_count)) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid mountinput {}", mount.input));
    }
    InputView& view = views[static_cast<std::size_t>(mount.input)];
    const std::string selector = join_path("/", mount.selector);
    KILN_ASSIGN_OR_RETURN(view.content_keyed, keyed_by_content(mount, selector));
    view.selectors.push_back(selector);
  }
  return views;
}

std::vector<std::string> distinct_selectors(std::vector<std::string> selectors) {
  std::sort(selectors.begin(), selectors.end());
  selectors.erase(std::unique(selectors.begin(), selectors.end()), selectors.end());
  std::vector<std::string> out;
  for (const std::string& selector : selectors) {
    if (selector.empty() || selector == "/") return {};
    const bool covered = std::any_of(selectors.begin(), selectors.end(), [&](const std::string& other) {
      return other != selector && selector.starts_with(other.ends_with('/') ? other : other + "/");
    });
    if (!covered) out.push_back(selector);
  }
  return out;
}

solve::InputRule input_rule(const InputView& view) {
  solve::InputRule rule{.selector = "", .content_keyed = view.content_keyed};
  if (!view.selectors.empty()) rule.selector = Digest::of(join(view.selectors, std::string_view("\0", 1))).str();
  return rule;
}

}  // namespace kiln::op
