#include "host/cgroup_sample.h"

#include <unistd.h>

#include <charconv>
#include <map>

#include "base/text.h"
#include "host/fd.h"

namespace kiln::host {
namespace {

using Keyed = std::map<std::string, std::uint64_t, std::less<>>;

Count number_of(std::string_view text) {
  text = trim(text);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? Count(value) : std::nullopt;
}

std::optional<std::string> read_text(const std::string& path) {
  Result<std::string> text = read_file(path, 1 << 20);
  return text.ok() ? std::optional(std::move(*text)) : std::nullopt;
}

Count read_number(const std::string& path) {
  const auto text = read_text(path);
  return text ? number_of(*text) : std::nullopt;
}

// "key value" lines.
std::optional<Keyed> read_keyed(const std::string& path) {
  const auto text = read_text(path);
  if (!text) return std::nullopt;
  Keyed out;
  for (std::string_view line : split(*text, '\n')) {
    const auto [key, value] = split_once(line, ' ');
    if (const Count number = number_of(value)) out.emplace(key, *number);
  }
  return out;
}

Count find(const Keyed& keyed, std::string_view key, std::uint64_t factor = 1) {
  const auto at = keyed.find(key);
  return at == keyed.end() ? std::nullopt : Count(at->second * factor);
}

std::optional<Pressure> read_pressure(const std::string& path) {
  const auto text = read_text(path);
  return text ? parse_pressure(*text) : std::nullopt;
}

std::optional<CgroupSample::Cpu> cpu_of(const std::string& folder) {
  const auto stat = read_keyed(folder + "/cpu.stat");
  if (!stat) return std::nullopt;
  return CgroupSample::Cpu{.usage_ns = find(*stat, "usage_usec", 1000),
                           .user_ns = find(*stat, "user_usec", 1000),
                           .system_ns = find(*stat, "system_usec", 1000),
                           .periods = find(*stat, "nr_periods"),
                           .throttled = find(*stat, "nr_throttled"),
                           .throttled_ns = find(*stat, "throttled_usec", 1000),
                           .pressure = read_pressure(folder + "/cpu.pressure")};
}

std::optional<CgroupSample::Memory> memory_of(const std::string& folder) {
  const auto stat = read_keyed(folder + "/memory.stat");
  if (!stat) return std::nullopt;
  CgroupSample::Memory out{.anon = find(*stat, "anon"),
                           .file = find(*stat, "file"),
                           .kernel_stack = find(*stat, "kernel_stack"),
                           .page_tables = find(*stat, "pagetables"),
                           .sock = find(*stat, "sock"),
                           .shmem = find(*stat, "shmem"),
                           .file_mapped = find(*stat, "file_mapped"),
                           .file_dirty = find(*stat, "file_dirty"),
                           .file_writeback = find(*stat, "file_writeback"),
                           .slab = find(*stat, "slab"),
                           .pgscan = find(*stat, "pgscan"),
                           .pgsteal = find(*stat, "pgsteal"),
                           .pgfault = find(*stat, "pgfault"),
                           .pgmajfault = find(*stat, "pgmajfault"),
                           .swap = read_number(folder + "/memory.swap.current"),
                           .peak = read_number(folder + "/memory.peak")};
  if (const auto events = read_keyed(folder + "/memory.events")) {
    out.low_events = find(*events, "low").value_or(0);
    out.high_events = find(*events, "high").value_or(0);
    out.max_events = find(*events, "max").value_or(0);
    out.oom_events = find(*events, "oom").value_or(0);
    out.oom_kill_events = find(*events, "oom_kill").value_or(0);
  }
  out.pressure = read_pressure(folder + "/memory.pressure");
  return out;
}

// A line a device: "254:0 rbytes=1 wbytes=2 …".
std::optional<CgroupSample::Io> io_of(const std::string& folder) {
  const auto text = read_text(folder + "/io.stat");
  if (!text) return std::nullopt;
  CgroupSample::Io out{.read_bytes = 0, .write_bytes = 0, .discard_bytes = 0, .reads = 0, .writes = 0, .discards = 0};
  const std::pair<std::string_view, Count*> places[] = {{"rbytes", &out.read_bytes},    {"wbytes", &out.write_bytes},
                                                        {"dbytes", &out.discard_bytes}, {"rios", &out.reads},
                                                        {"wios", &out.writes},          {"dios", &out.discards}};
  for (std::string_view word : words(*text)) {
    const auto [key, value] = split_once(word, '=');
    for (const auto& [name, count] : places) {
      if (key == name) **count += number_of(value).value_or(0);
    }
  }
  out.pressure = read_pressure(folder + "/io.pressure");
  return out;
}

// Version 1 has a folder for each controller.
void read_v1_memory(const std::string& folder, CgroupSample& out) {
  const auto stat = read_keyed(folder + "/memory.stat");
  if (!stat) return;
  CgroupSample::Memory memory{.anon = find(*stat, "total_rss"),
                              .file = find(*stat, "total_cache"),
                              .shmem = find(*stat, "total_shmem"),
                              .file_mapped = find(*stat, "total_mapped_file"),
                              .file_dirty = find(*stat, "total_dirty"),
                              .file_writeback = find(*stat, "total_writeback"),
                              .pgfault = find(*stat, "total_pgfault"),
                              .pgmajfault = find(*stat, "total_pgmajfault"),
                              .swap = find(*stat, "total_swap"),
                              .peak = read_number(folder + "/memory.max_usage_in_bytes")};
  memory.max_events = read_number(folder + "/memory.failcnt").value_or(0);
  if (const auto control = read_keyed(folder + "/memory.oom_control")) {
    memory.oom_kill_events = find(*control, "oom_kill").value_or(0);
    memory.oom_events = memory.oom_kill_events;
  }
  out.memory = memory;
}

void read_v1_cpu(const std::string& folder, CgroupSample& out) {
  const Count usage = read_number(folder + "/cpuacct.usage");
  const auto stat = read_keyed(folder + "/cpu.stat");
  if (!usage && !stat) return;
  if (!out.cpu) out.cpu.emplace();
  if (usage) {
    out.cpu->usage_ns = usage;
    out.cpu->user_ns = read_number(folder + "/cpuacct.usage_user");
    out.cpu->system_ns = read_number(folder + "/cpuacct.usage_sys");
  }
  if (stat) {
    out.cpu->periods = find(*stat, "nr_periods");
    out.cpu->throttled = find(*stat, "nr_throttled");
    out.cpu->throttled_ns = find(*stat, "throttled_time");
  }
}

void read_v1_io(const std::string& folder, CgroupSample& out) {
  const auto bytes = read_text(folder + "/blkio.throttle.io_service_bytes");
  if (!bytes) return;
  CgroupSample::Io io{.read_bytes = 0, .write_bytes = 0, .discard_bytes = 0, .reads = 0, .writes = 0, .discards = 0};
  auto add = [](const std::string& text, Count& reads, Count& writes, Count& discards) {
    for (std::string_view line : split(text, '\n')) {
      const std::vector<std::string_view> fields = words(line);
      if (fields.size() != 3) continue;
      const std::uint64_t value = number_of(fields[2]).value_or(0);
      if (fields[1] == "Read") *reads += value;
      if (fields[1] == "Write") *writes += value;
      if (fields[1] == "Discard") *discards += value;
    }
  };
  add(*bytes, io.read_bytes, io.write_bytes, io.discard_bytes);
  if (const auto count = read_text(folder + "/blkio.throttle.io_serviced"))
    add(*count, io.reads, io.writes, io.discards);
  out.io = io;
}

}  // namespace

CgroupSample read_cgroup_sample(const std::vector<std::pair<std::string, std::string>>& folders) {
  CgroupSample out;
  for (const auto& [name, folder] : folders) {
    if (name.empty()) {
      out.cpu = cpu_of(folder);
      out.memory = memory_of(folder);
      out.io = io_of(folder);
      out.pids = read_number(folder + "/pids.current");
      continue;
    }
    for (std::string_view controller : split(name, ',')) {
      if (controller == "cpu" || controller == "cpuacct") read_v1_cpu(folder, out);
      if (controller == "memory") read_v1_memory(folder, out);
      if (controller == "blkio") read_v1_io(folder, out);
      if (controller == "pids") out.pids = read_number(folder + "/pids.current");
    }
  }
  return out;
}

std::optional<Pressure> parse_pressure(const std::string& text) {
  Pressure out;
  for (std::string_view line : split(text, '\n')) {
    PressureLine values;
    bool whole = true;
    const std::vector<std::string_view> fields = words(line);
    for (std::size_t i = 1; i < fields.size(); ++i) {
      const auto [key, value] = split_once(fields[i], '=');
      double* place = key == "avg10"    ? &values.avg10
                      : key == "avg60"  ? &values.avg60
                      : key == "avg300" ? &values.avg300
                                        : nullptr;
      if (key == "total") values.total_us = number_of(value).value_or(0);
      if (place != nullptr)
        whole &= std::from_chars(value.data(), value.data() + value.size(), *place).ec == std::errc();
    }
    if (fields.size() < 2 || !whole) continue;
    if (fields[0] == "some") out.some = values;
    if (fields[0] == "full") out.full = values;
  }
  if (!out.some && !out.full) return std::nullopt;
  return out;
}

std::optional<SystemCpu> read_system_cpu() {
  const auto text = read_text("/proc/stat");
  if (!text || !text->starts_with("cpu ")) return std::nullopt;
  const std::vector<std::string_view> fields = words(std::string_view(*text).substr(0, text->find('\n')));
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  SystemCpu out;
  double* const places[] = {&out.user, &out.nice,    &out.system, &out.idle,  &out.iowait,
                            &out.irq,  &out.softirq, &out.steal,  &out.guest, &out.guest_nice};
  for (std::size_t i = 0; i < std::size(places) && i + 1 < fields.size(); ++i) {
    *places[i] = static_cast<double>(number_of(fields[i + 1]).value_or(0)) / ticks;
  }
  return out;
}

SystemCpu operator-(const SystemCpu& later, const SystemCpu& earlier) {
  return {later.user - earlier.user,       later.nice - earlier.nice,
          later.system - earlier.system,   later.idle - earlier.idle,
          later.iowait - earlier.iowait,   later.irq - earlier.irq,
          later.softirq - earlier.softirq, later.steal - earlier.steal,
          later.guest - earlier.guest,     later.guest_nice - earlier.guest_nice};
}

}  // namespace kiln::host
