#include "daemon/usage.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/text.h"
#include "base/value.h"
#include "host/cgroup_sample.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;

constexpr auto kInterval = std::chrono::seconds(2);
constexpr std::size_t kSamplesMax = 20;

void put(Json& out, const char* key, const host::Count& count) {
  if (count) out[key] = *count;
}

Json line_json(const std::optional<host::PressureLine>& line) {
  if (!line) return nullptr;
  return {{"avg10", line->avg10}, {"avg60", line->avg60}, {"avg300", line->avg300}, {"total", line->total_us}};
}

void put(Json& out, const std::optional<host::Pressure>& pressure) {
  if (pressure) out["pressure"] = {{"some", line_json(pressure->some)}, {"full", line_json(pressure->full)}};
}

Json cpu_json(const host::CgroupSample::Cpu& cpu) {
  Json out = Json::object();
  put(out, "usageNanos", cpu.usage_ns);
  put(out, "userNanos", cpu.user_ns);
  put(out, "systemNanos", cpu.system_ns);
  put(out, "nrPeriods", cpu.periods);
  put(out, "nrThrottled", cpu.throttled);
  put(out, "throttledNanos", cpu.throttled_ns);
  put(out, cpu.pressure);
  return out;
}

Json memory_json(const host::CgroupSample::Memory& memory) {
  Json out = Json::object();
  const std::pair<const char*, const host::Count&> counts[] = {{"swapBytes", memory.swap},
                                                               {"anon", memory.anon},
                                                               {"file", memory.file},
                                                               {"kernelStack", memory.kernel_stack},
                                                               {"pageTables", memory.page_tables},
                                                               {"sock", memory.sock},
                                                               {"shmem", memory.shmem},
                                                               {"fileMapped", memory.file_mapped},
                                                               {"fileDirty", memory.file_dirty},
                                                               {"fileWriteback", memory.file_writeback},
                                                               {"slab", memory.slab},
                                                               {"pgscan", memory.pgscan},
                                                               {"pgsteal", memory.pgsteal},
                                                               {"pgfault", memory.pgfault},
                                                               {"pgmajfault", memory.pgmajfault},
                                                               {"peak", memory.peak}};
  for (const auto& [key, count] : counts) put(out, key, count);
  const std::pair<const char*, std::uint64_t> events[] = {{"lowEvents", memory.low_events},
                                                          {"highEvents", memory.high_events},
                                                          {"maxEvents", memory.max_events},
                                                          {"oomEvents", memory.oom_events},
                                                          {"oomKillEvents", memory.oom_kill_events}};
  for (const auto& [key, count] : events) {
    if (count > 0) out[key] = count;
  }
  put(out, memory.pressure);
  return out;
}

Json io_json(const host::CgroupSample::Io& io) {
  Json out = Json::object();
  put(out, "readBytes", io.read_bytes);
  put(out, "writeBytes", io.write_bytes);
  put(out, "discardBytes", io.discard_bytes);
  put(out, "readIOs", io.reads);
  put(out, "writeIOs", io.writes);
  put(out, "discardIOs", io.discards);
  put(out, io.pressure);
  return out;
}

Json network_json(const sandbox::NetworkSample& network) {
  Json out = Json::object();
  const std::pair<const char*, std::uint64_t> counts[] = {
      {"rxBytes", network.rx_bytes},     {"rxPackets", network.rx_packets}, {"rxErrors", network.rx_errors},
      {"rxDropped", network.rx_dropped}, {"txBytes", network.tx_bytes},     {"txPackets", network.tx_packets},
      {"txErrors", network.tx_errors},   {"txDropped", network.tx_dropped}};
  for (const auto& [key, count] : counts) {
    if (count > 0) out[key] = count;
  }
  return out;
}

Json processor_json(const host::SystemCpu& cpu) {
  const auto seconds = [](double value) { return std::round(value * 1000) / 1000; };
  return {{"user", seconds(cpu.user)},           {"nice", seconds(cpu.nice)},     {"system", seconds(cpu.system)},
          {"idle", seconds(cpu.idle)},           {"iowait", seconds(cpu.iowait)}, {"irq", seconds(cpu.irq)},
          {"softirq", seconds(cpu.softirq)},     {"steal", seconds(cpu.steal)},   {"guest", seconds(cpu.guest)},
          {"guestNice", seconds(cpu.guest_nice)}};
}

// The named numbers of one of the kernel's tables, whose lines are a name and a number; false when it cannot be read.
bool add_numbers(Json& out, const char* path, std::span<const std::pair<std::string_view, const char*>> names) {
  auto text = host::read_file(path);
  if (!text.ok()) return false;
  for (std::string_view line : split(*text, '\n')) {
    const auto fields = words(line);
    for (const auto& [name, key] : names) {
      if (fields.size() > 1 && fields[0] == name) out[key] = parse_integer(fields[1]).value_or(0);
    }
  }
  return true;
}

void add_processes(Json& out) {
  static constexpr std::pair<std::string_view, const char*> kNames[] = {
      {"ctxt", "contextSwitches"}, {"processes", "processCreated"}, {"procs_running", "processesRunning"}};
  Json processes = Json::object();
  if (add_numbers(processes, "/proc/stat", kNames) && !processes.empty()) out["procStat"] = std::move(processes);
}

// In kilobytes, as the kernel says it.
void add_memory(Json& out) {
  static constexpr std::pair<std::string_view, const char*> kNames[] = {
      {"MemTotal:", "total"},      {"MemFree:", "free"},   {"MemAvailable:", "available"},
      {"Buffers:", "buffers"},     {"Cached:", "cached"},  {"Active:", "active"},
      {"Inactive:", "inactive"},   {"SwapTotal:", "swap"}, {"Dirty:", "dirty"},
      {"Writeback:", "writeback"}, {"Slab:", "slab"}};
  Json memory = Json::object();
  if (add_numbers(memory, "/proc/meminfo", kNames)) out["memoryStat"] = std::move(memory);
}

void add_pressure(Json& out, const char* key, const char* path) {
  auto text = host::read_file(path);
  if (!text.ok()) return;
  Json told = Json::object();
  put(told, host::parse_pressure(*text));
  if (told.contains("pressure")) out[key] = told["pressure"];
}

}  // namespace

std::string sample_machine(Time now) {
  Json out = {{"timestamp", format_rfc3339(now)}};
  if (auto cpu = host::read_system_cpu()) out["cpuStat"] = processor_json(*cpu);
  add_processes(out);
  add_memory(out);
  add_pressure(out, "cpuPressure", "/proc/pressure/cpu");
  add_pressure(out, "memoryPressure", "/proc/pressure/memory");
  add_pressure(out, "ioPressure", "/proc/pressure/io");
  return out.dump();
}

MachineUsage::MachineUsage(Pool& pool) : pool_(pool) {}

MachineUsage::~MachineUsage() {
  std::unique_lock lock(mutex_);
  watches_.clear();
  changed_.notify_all();
  changed_.wait(lock, [this] { return !running_; });
}

std::unique_ptr<MachineUsage::Watch> MachineUsage::watch() {
  auto out = std::make_unique<Watch>(*this);
  std::lock_guard lock(mutex_);
  watches_.push_back(out.get());
  if (!std::exchange(running_, true)) pool_.submit([this] { run(); });
  return out;
}

MachineUsage::Watch::~Watch() {
  std::lock_guard lock(machine_.mutex_);
  std::erase(machine_.watches_, this);
  machine_.changed_.notify_all();
}

std::string MachineUsage::Watch::samples_json() const {
  std::string out = "[";
  {
    std::lock_guard lock(machine_.mutex_);
    for (const std::string& sample : samples_) out += sample + ",";
  }
  return out + sample_machine(system_clock().now()) + "]";
}

void MachineUsage::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (changed_.wait_for(lock, kInterval, [this] { return watches_.empty(); })) break;
    const std::string sample = sample_machine(system_clock().now());
    for (Watch* watch : watches_) {
      if (watch->seen_++ % watch->every_ != 0) continue;
      watch->samples_.push_back(sample);
      if (watch->samples_.size() < kSamplesMax) continue;
      // A long build: every other sample goes, and fewer come.
      std::size_t kept = 0;
      for (std::size_t i = 0; i < watch->samples_.size(); i += 2)
        watch->samples_[kept++] = std::move(watch->samples_[i]);
      watch->samples_.resize(kept);
      watch->every_ *= 2;
    }
  }
  running_ = false;
  changed_.notify_all();
}

std::string samples_json(const sandbox::StepSamples& samples) {
  Json list = Json::array();
  for (const auto& sample : samples.samples) {
    Json one = {{"timestamp", format_rfc3339(sample.time)}};
    if (sample.usage.cpu) one["cpuStat"] = cpu_json(*sample.usage.cpu);
    if (sample.usage.memory) one["memoryStat"] = memory_json(*sample.usage.memory);
    if (sample.usage.io) one["ioStat"] = io_json(*sample.usage.io);
    if (sample.usage.pids) one["pidsStat"] = {{"current", *sample.usage.pids}};
    if (sample.network) one["netStat"] = network_json(*sample.network);
    list.push_back(std::move(one));
  }
  Json out = {{"samples", std::move(list)}};
  if (samples.system_cpu) out["sysCPUStat"] = processor_json(*samples.system_cpu);
  return out.dump();
}

}  // namespace kiln::daemon
