#include "host/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "host/cgroup_devices.h"
#include "host/fd.h"

namespace kiln::host {
namespace {

// The controllers a step is put into; the others (freezer, net_cls, …) cost time and serve nothing.
constexpr std::string_view kWanted[] = {"cpu", "cpuacct", "memory", "pids", "blkio", "devices", "cpuset"};

struct Hierarchy {
  std::string folder;                    // where it is mounted
  std::vector<std::string> controllers;  // of version 1; empty means version 2
  bool unified() const { return controllers.empty(); }
  bool has(std::string_view name) const {
    return std::find(controllers.begin(), controllers.end(), name) != controllers.end();
  }
};

std::string read_small(const std::string& path) {
  Result<std::string> text = read_file(path, 1 << 20);
  return text.ok() ? std::string(trim(*text)) : std::string();
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "key value" lines.
std::uint64_t keyed(const std::string& text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    auto [name, value] = split_once(line, ' ');
    if (name == key) return number_of(trim(value));
  }
  return 0;
}

Status put(const std::string& path, std::string_view text) {
  KILN_ASSIGN_OR_RETURN(Fd file, open_file(path, O_WRONLY));
  return write_all(file.get(), text);
}

// Makes every missing folder of `path` below `root`; tells `made` about each new one.
Status make_groups(const std::string& root, const std::string& path, const Hierarchy& hierarchy,
                   const std::vector<std::string>& enable) {
  std::string at = root;
  for (std::string_view part : split(path, '/')) {
    if (part.empty()) continue;
    if (part == "..") return user_error(Code::kInvalidArgument, fmt::format("cgroup path '{}' climbs", path));
    if (hierarchy.unified()) {
      // Each on its own: one that is missing must not keep the others out.
      for (const std::string& name : enable) {
        if (Status status = put(at + "/cgroup.subtree_control", "+" + name); !status.ok()) {
          log_debug("cgroup controller '{}' not enabled in '{}': {}", name, at, message_of(status));
        }
      }
    }
    at += '/';
    at += part;
    if (::mkdir(at.c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      return errno_error(errno, fmt::format("create cgroup '{}'", at));
    }
    if (hierarchy.has("cpuset")) {
      // A version 1 cpuset starts empty and then takes nobody.
      const std::string parent = at.substr(0, at.rfind('/'));
      for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) (void)put(at + file, read_small(parent + file));
    }
  }
  return ok();
}

}  // namespace

struct CgroupTree::State {
  CgroupLayout layout = CgroupLayout::kNone;
  std::vector<Hierarchy> hierarchies;
  std::vector<std::string> unified_controllers;
};

struct Cgroup::State {
  std::string path;
  std::vector<Hierarchy> spare;  // joined only when a limit asks for one
  struct Folder {
    Hierarchy hierarchy;
    std::string path;
  };
  std::vector<Folder> folders;
  std::vector<int> attach_fds;
  int clone_fd = -1;

  ~State() {
    for (int fd : attach_fds) ::close(fd);
    if (clone_fd >= 0) ::close(clone_fd);
  }
  // Makes the group in one hierarchy and opens the file by which a process joins.
  Status join(const Hierarchy& hierarchy, const std::vector<std::string>& enable) {
    KILN_RETURN_IF_ERROR(make_groups(hierarchy.folder, path, hierarchy, enable));
    const std::string folder = hierarchy.folder + "/" + path.substr(path.find_first_not_of('/'));
    folders.push_back({hierarchy, folder});
    // "tasks" moves one thread without the lock that cgroup.procs takes for a whole process, which
    // waits for an RCU grace period.
    KILN_ASSIGN_OR_RETURN(Fd fd, open_file(folder + (hierarchy.unified() ? "/cgroup.procs" : "/tasks"), O_WRONLY));
    attach_fds.push_back(fd.release());
    return ok();
  }
  Status join_spare(std::string_view controller) {
    for (auto at = spare.begin(); at != spare.end(); ++at) {
      if (!at->has(controller)) continue;
      const Hierarchy hierarchy = *at;
      spare.erase(at);
      return join(hierarchy, {});
    }
    return ok();
  }
  const Folder* with(std::string_view controller) const {
    for (const Folder& folder : folders) {
      if (folder.hierarchy.has(controller)) return &folder;
    }
    return nullptr;
  }
  const Folder* unified() const {
    for (const Folder& folder : folders) {
      if (folder.hierarchy.unified()) return &folder;
    }
    return nullptr;
  }
};

CgroupTree CgroupTree::probe(const std::string& mount_root) {
  auto state = std::make_shared<State>();
  Result<std::string> table = read_file("/proc/self/mounts");
  bool v1 = false, v2 = false;
  for (std::string_view line : split(table.ok() ? std::string_view(*table) : std::string_view(), '\n')) {
    std::vector<std::string_view> fields = words(line);
    if (fields.size() < 4 || !fields[1].starts_with(mount_root)) continue;
    Hierarchy hierarchy{.folder = std::string(fields[1])};
    if (fields[2] == "cgroup2") {
      const std::string controllers = read_small(hierarchy.folder + "/cgroup.controllers");
      for (std::string_view name : words(controllers)) {
        if (std::find(std::begin(kWanted), std::end(kWanted), name) != std::end(kWanted) || name == "io") {
          state->unified_controllers.emplace_back(name);
        }
      }
      v2 = true;
      state->hierarchies.push_back(std::move(hierarchy));
    } else if (fields[2] == "cgroup") {
      for (std::string_view option : split(fields[3], ',')) {
        if (std::find(std::begin(kWanted), std::end(kWanted), option) != std::end(kWanted)) {
          hierarchy.controllers.emplace_back(option);
        }
      }
      if (hierarchy.controllers.empty()) continue;
      v1 = true;
      state->hierarchies.push_back(std::move(hierarchy));
    }
  }
  state->layout = v1 && v2 ? CgroupLayout::kHybrid
                  : v1     ? CgroupLayout::kV1
                  : v2     ? CgroupLayout::kV2
                           : CgroupLayout::kNone;
  if (v1) {
    // Beside version 1 the unified tree carries nothing a step needs.
    std::erase_if(state->hierarchies, [](const Hierarchy& h) { return h.unified(); });
  }
  CgroupTree tree;
  tree.state_ = std::move(state);
  return tree;
}

CgroupLayout CgroupTree::layout() const { return state_->layout; }

Result<Cgroup> CgroupTree::create(const std::string& path, CgroupScope scope) const {
  auto state = std::make_unique<Cgroup::State>();
  state->path = path;
  for (const Hierarchy& hierarchy : state_->hierarchies) {
    // Each hierarchy joined costs a process a tenth of a millisecond; these serve limits only.
    const bool limits_only =
        !hierarchy.unified() &&
        std::all_of(hierarchy.controllers.begin(), hierarchy.controllers.end(),
                    [](const std::string& name) { return name == "cpu" || name == "pids" || name == "cpuset"; });
    if (limits_only && scope == CgroupScope::kNeeded) {
      state->spare.push_back(hierarchy);
      continue;
    }
    KILN_RETURN_IF_ERROR(state->join(hierarchy, state_->unified_controllers));
    if (hierarchy.unified())
      state->clone_fd = ::open(state->folders.back().path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  }
  Cgroup group;
  group.state_ = std::move(state);
  return group;
}

Status CgroupTree::make_root_leafless() const {
  for (const Hierarchy& hierarchy : state_->hierarchies) {
    if (!hierarchy.unified()) continue;
    const std::string leaf = hierarchy.folder + "/init";
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) {
      return errno_error(errno, fmt::format("create cgroup '{}'", leaf));
    }
    // A process may fork while the list is walked: walk until it stays empty.
    for (int round = 0; round < 10; ++round) {
      const std::string pids = read_small(hierarchy.folder + "/cgroup.procs");
      if (pids.empty()) break;
      for (std::string_view pid : split(pids, '\n')) (void)put(leaf + "/cgroup.procs", pid);
    }
    for (const std::string& name : state_->unified_controllers) {
      KILN_RETURN_IF_ERROR(put(hierarchy.folder + "/cgroup.subtree_control", "+" + name));
    }
  }
  return ok();
}

Cgroup::Cgroup() = default;
Cgroup::Cgroup(Cgroup&&) noexcept = default;
Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this != &other) {
    if (state_) (void)remove(std::chrono::milliseconds(0));
    state_ = std::move(other.state_);
  }
  return *this;
}
Cgroup::~Cgroup() {
  if (state_) (void)remove(std::chrono::milliseconds(0));
}

const std::string& Cgroup::path() const { return state_->path; }
const std::vector<int>& Cgroup::attach_fds() const { return state_->attach_fds; }
int Cgroup::clone_fd() const { return state_->clone_fd; }

std::vector<std::pair<std::string, std::string>> Cgroup::folders() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const State::Folder& folder : state_->folders) {
    const std::string& mounted = folder.hierarchy.folder;
    out.emplace_back(folder.hierarchy.unified() ? "" : mounted.substr(mounted.rfind('/') + 1), folder.path);
  }
  return out;
}

namespace {

// Docker counts shares from 2 to 262144 around 1024; version 2 counts weights from 1 to 10000.
std::uint64_t weight_of(std::uint64_t shares) {
  if (shares < 2) shares = 2;
  if (shares > 262144) shares = 262144;
  return 1 + ((shares - 2) * 9999) / 262142;
}

Status limit_unified(const std::string& folder, const CgroupLimits& limits) {
  if (limits.memory_bytes != 0) {
    KILN_RETURN_IF_ERROR(
        put(folder + "/memory.max", limits.memory_bytes < 0 ? "max" : fmt::to_string(limits.memory_bytes)));
  }
  if (limits.memory_swap_bytes != 0) {
    // Version 2 counts swap alone.
    const std::int64_t swap = limits.memory_swap_bytes - std::max<std::int64_t>(limits.memory_bytes, 0);
    Status status = put(folder + "/memory.swap.max",
                        limits.memory_swap_bytes < 0 ? "max" : fmt::to_string(std::max<std::int64_t>(swap, 0)));
    if (!status.ok() && !is_not_found(status)) return status;  // a kernel without swap accounting
  }
  if (limits.cpu_shares != 0)
    KILN_RETURN_IF_ERROR(put(folder + "/cpu.weight", fmt::to_string(weight_of(limits.cpu_shares))));
  if (limits.cpu_quota_us != 0 || limits.cpu_period_us != 0) {
    const std::uint64_t period = limits.cpu_period_us != 0 ? limits.cpu_period_us : 100000;
    KILN_RETURN_IF_ERROR(put(folder + "/cpu.max", limits.cpu_quota_us > 0
                                                      ? fmt::format("{} {}", limits.cpu_quota_us, period)
                                                      : fmt::format("max {}", period)));
  }
  if (!limits.cpuset_cpus.empty()) KILN_RETURN_IF_ERROR(put(folder + "/cpuset.cpus", limits.cpuset_cpus));
  if (!limits.cpuset_mems.empty()) KILN_RETURN_IF_ERROR(put(folder + "/cpuset.mems", limits.cpuset_mems));
  if (limits.pids_max > 0) KILN_RETURN_IF_ERROR(put(folder + "/pids.max", fmt::to_string(limits.pids_max)));
  return ok();
}

}  // namespace

Status Cgroup::limit(const CgroupLimits& limits) {
  if (const State::Folder* folder = state_->unified()) return limit_unified(folder->path, limits);
  if (const State::Folder* memory = state_->with("memory")) {
    if (limits.memory_bytes != 0)
      KILN_RETURN_IF_ERROR(put(memory->path + "/memory.limit_in_bytes", fmt::to_string(limits.memory_bytes)));
    if (limits.memory_swap_bytes != 0) {
      Status status = put(memory->path + "/memory.memsw.limit_in_bytes", fmt::to_string(limits.memory_swap_bytes));
      if (!status.ok() && !is_not_found(status)) return status;
    }
  }
  if (limits.cpu_shares != 0 || limits.cpu_period_us != 0 || limits.cpu_quota_us != 0) {
    KILN_RETURN_IF_ERROR(state_->join_spare("cpu"));
  }
  if (!limits.cpuset_cpus.empty() || !limits.cpuset_mems.empty()) KILN_RETURN_IF_ERROR(state_->join_spare("cpuset"));
  if (limits.pids_max > 0) KILN_RETURN_IF_ERROR(state_->join_spare("pids"));
  if (const State::Folder* cpu = state_->with("cpu")) {
    if (limits.cpu_shares != 0) KILN_RETURN_IF_ERROR(put(cpu->path + "/cpu.shares", fmt::to_string(limits.cpu_shares)));
    if (limits.cpu_period_us != 0)
      KILN_RETURN_IF_ERROR(put(cpu->path + "/cpu.cfs_period_us", fmt::to_string(limits.cpu_period_us)));
    if (limits.cpu_quota_us != 0)
      KILN_RETURN_IF_ERROR(put(cpu->path + "/cpu.cfs_quota_us", fmt::to_string(limits.cpu_quota_us)));
  }
  if (const State::Folder* cpuset = state_->with("cpuset");
      cpuset && (!limits.cpuset_cpus.empty() || !limits.cpuset_mems.empty())) {
    if (!limits.cpuset_cpus.empty()) KILN_RETURN_IF_ERROR(put(cpuset->path + "/cpuset.cpus", limits.cpuset_cpus));
    if (!limits.cpuset_mems.empty()) KILN_RETURN_IF_ERROR(put(cpuset->path + "/cpuset.mems", limits.cpuset_mems));
  }
  if (const State::Folder* pids = state_->with("pids"); pids && limits.pids_max > 0) {
    KILN_RETURN_IF_ERROR(put(pids->path + "/pids.max", fmt::to_string(limits.pids_max)));
  }
  return ok();
}

Status Cgroup::set_devices(const std::vector<DeviceRule>& rules) {
  if (const State::Folder* folder = state_->unified()) return attach_device_program(folder->path, rules);
  const State::Folder* devices = state_->with("devices");
  if (devices == nullptr) return ok();
  for (const DeviceRule& rule : rules) {
    const std::string file = devices->path + (rule.allow ? "/devices.allow" : "/devices.deny");
    auto number = [](int n) { return n < 0 ? std::string("*") : fmt::to_string(n); };
    const std::string text =
        rule.type == 'a' ? "a"
                         : fmt::format("{} {}:{} {}", rule.type, number(rule.major), number(rule.minor), rule.access);
    KILN_RETURN_IF_ERROR(put(file, text));
  }
  return ok();
}

Status Cgroup::attach(int pid) {
  for (int fd : state_->attach_fds) KILN_RETURN_IF_ERROR(write_all(fd, fmt::to_string(pid)));
  return ok();
}

Status Cgroup::kill_all() {
  if (const State::Folder* folder = state_->unified()) {
    if (put(folder->path + "/cgroup.kill", "1").ok()) return ok();
  }
  for (const State::Folder& folder : state_->folders) {
    const std::string processes = read_small(folder.path + "/cgroup.procs");
    for (std::string_view line : split(processes, '\n')) {
      if (std::uint64_t pid = number_of(line); pid > 1) ::kill(static_cast<pid_t>(pid), SIGKILL);
    }
    break;  // every hierarchy holds the same processes
  }
  return ok();
}

namespace {

void read_unified(const std::string& folder, CgroupUsage& usage) {
  const std::string cpu = read_small(folder + "/cpu.stat");
  usage.cpu_total_ns = keyed(cpu, "usage_usec") * 1000;
  usage.cpu_user_ns = keyed(cpu, "user_usec") * 1000;
  usage.cpu_system_ns = keyed(cpu, "system_usec") * 1000;
  usage.memory_peak_bytes = number_of(read_small(folder + "/memory.peak"));
  usage.memory_current_bytes = number_of(read_small(folder + "/memory.current"));
  usage.pids_current = number_of(read_small(folder + "/pids.current"));
  usage.pids_peak = number_of(read_small(folder + "/pids.peak"));
  usage.oom_kills = keyed(read_small(folder + "/memory.events"), "oom_kill");
  const std::string io = read_small(folder + "/io.stat");
  for (std::string_view word : words(io)) {
    auto [key, value] = split_once(word, '=');
    if (key == "rbytes") usage.io_read_bytes += number_of(value);
    if (key == "wbytes") usage.io_write_bytes += number_of(value);
  }
}

}  // namespace

CgroupUsage Cgroup::read_usage() const {
  CgroupUsage usage;
  if (!state_) return usage;
  if (const State::Folder* folder = state_->unified()) {
    read_unified(folder->path, usage);
    return usage;
  }
  if (const State::Folder* cpu = state_->with("cpuacct")) {
    usage.cpu_total_ns = number_of(read_small(cpu->path + "/cpuacct.usage"));
    usage.cpu_user_ns = number_of(read_small(cpu->path + "/cpuacct.usage_user"));
    usage.cpu_system_ns = number_of(read_small(cpu->path + "/cpuacct.usage_sys"));
  }
  if (const State::Folder* memory = state_->with("memory")) {
    usage.memory_peak_bytes = number_of(read_small(memory->path + "/memory.max_usage_in_bytes"));
    usage.memory_current_bytes = number_of(read_small(memory->path + "/memory.usage_in_bytes"));
    usage.oom_kills = keyed(read_small(memory->path + "/memory.oom_control"), "oom_kill");
  }
  if (const State::Folder* pids = state_->with("pids")) {
    usage.pids_current = number_of(read_small(pids->path + "/pids.current"));
  }
  if (const State::Folder* io = state_->with("blkio")) {
    const std::string served = read_small(io->path + "/blkio.throttle.io_service_bytes");
    for (std::string_view line : split(served, '\n')) {
      std::vector<std::string_view> fields = words(line);
      if (fields.size() != 3) continue;
      if (fields[1] == "Read") usage.io_read_bytes += number_of(fields[2]);
      if (fields[1] == "Write") usage.io_write_bytes += number_of(fields[2]);
    }
  }
  return usage;
}

namespace {

// Groups made by the process inside are its own mess: remove the children first.
int remove_group(const std::string& folder) {
  if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return 0;
  int failed = errno;
  if (DIR* dir = ::opendir(folder.c_str())) {
    while (dirent* entry = ::readdir(dir)) {
      if (entry->d_type == DT_DIR && entry->d_name[0] != '.') (void)remove_group(folder + "/" + entry->d_name);
    }
    ::closedir(dir);
    if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return 0;
    failed = errno;
  }
  return failed;
}

}  // namespace

Status Cgroup::remove(std::chrono::milliseconds wait) {
  if (!state_) return ok();
  const auto until = std::chrono::steady_clock::now() + wait;
  auto pause = std::chrono::milliseconds(1);
  for (;;) {
    int failed = 0;
    for (const State::Folder& folder : state_->folders) {
      if (int error = remove_group(folder.path); error != 0) failed = error;
    }
    if (failed == 0) break;
    if (std::chrono::steady_clock::now() >= until) {
      Status status = errno_error(failed, fmt::format("remove cgroup '{}'", state_->path));
      state_.reset();
      return status;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
  state_.reset();
  return ok();
}

void CgroupTree::remove_children(const std::string& path, const std::function<bool(std::string_view)>& chosen) const {
  for (const Hierarchy& hierarchy : state_->hierarchies) {
    const std::string folder = hierarchy.folder + path;
    DIR* dir = ::opendir(folder.c_str());
    if (dir == nullptr) continue;
    while (dirent* entry = ::readdir(dir)) {
      if (entry->d_type == DT_DIR && chosen(entry->d_name)) (void)remove_group(folder + "/" + entry->d_name);
    }
    ::closedir(dir);
  }
}

}  // namespace kiln::host
