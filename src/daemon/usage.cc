#include "daemon/usage.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/value.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;

constexpr auto kInterval = std::chrono::seconds(2);
constexpr std::size_t kSamplesMax = 20;
constexpr double kTicksPerSecond = 100;  // USER_HZ, fixed for user space

double number(std::string_view text) {
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

// /proc/stat: times of all processors, and counts.
void add_processor(Json& out) {
  auto text = host::read_file("/proc/stat");
  if (!text.ok()) return;
  Json processes = Json::object();
  for (std::string_view line : split(*text, '\n')) {
    const auto fields = words(line);
    if (fields.size() < 2) continue;
    if (fields[0] == "cpu") {
      static constexpr const char* kNames[] = {"user",    "nice",  "system", "idle",  "iowait",
                                               "irq", "softirq", "steal",  "guest", "guestNice"};
      for (std::size_t i = 0; i < std::size(kNames) && i + 1 < fields.size(); ++i) {
        out["cpuStat"][kNames[i]] = std::round(number(fields[i + 1]) / kTicksPerSecond * 1000) / 1000;
      }
    }
    if (fields[0] == "ctxt") processes["contextSwitches"] = parse_integer(fields[1]).value_or(0);
    if (fields[0] == "processes") processes["processCreated"] = parse_integer(fields[1]).value_or(0);
    if (fields[0] == "procs_running") processes["processesRunning"] = parse_integer(fields[1]).value_or(0);
  }
  if (!processes.empty()) out["procStat"] = std::move(processes);
}

// /proc/meminfo, in kilobytes as the kernel says it.
void add_memory(Json& out) {
  auto text = host::read_file("/proc/meminfo");
  if (!text.ok()) return;
  static constexpr std::pair<std::string_view, const char*> kNames[] = {
      {"MemTotal:", "total"}, {"MemFree:", "free"},   {"MemAvailable:", "available"}, {"Buffers:", "buffers"},
      {"Cached:", "cached"},  {"Active:", "active"},  {"Inactive:", "inactive"},      {"SwapTotal:", "swap"},
      {"Dirty:", "dirty"},    {"Writeback:", "writeback"}, {"Slab:", "slab"}};
  Json memory = Json::object();
  for (std::string_view line : split(*text, '\n')) {
    const auto fields = words(line);
    for (const auto& [name, key] : kNames) {
      if (fields.size() > 1 && fields[0] == name) memory[key] = parse_integer(fields[1]).value_or(0);
    }
  }
  out["memoryStat"] = std::move(memory);
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and a line "full".
void add_pressure(Json& out, const char* key, const char* path) {
  auto text = host::read_file(path);
  if (!text.ok()) return;
  Json pressure = {{"some", nullptr}, {"full", nullptr}};
  for (std::string_view line : split(*text, '\n')) {
    const auto fields = words(line);
    if (fields.size() < 5) continue;
    Json values = Json::object();
    for (std::size_t i = 1; i < fields.size(); ++i) {
      const auto [name, value] = split_once(fields[i], '=');
      if (name == "total") {
        values["total"] = parse_integer(value).value_or(0);
      } else {
        values[std::string(name)] = number(value);
      }
    }
    pressure[std::string(fields[0])] = std::move(values);
  }
  out[key] = std::move(pressure);
}

}  // namespace

std::string sample_machine(Time now) {
  Json out = {{"timestamp", format_rfc3339(now)}};
  add_processor(out);
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
      for (std::size_t i = 0; i < watch->samples_.size(); i += 2) watch->samples_[kept++] = std::move(watch->samples_[i]);
      watch->samples_.resize(kept);
      watch->every_ *= 2;
    }
  }
  running_ = false;
  changed_.notify_all();
}

void StepUsage::set(const Digest& vertex, const sandbox::ResourceUsage& usage, Time now) {
  std::lock_guard lock(mutex_);
  if (!samples_.contains(vertex)) order_.push_back(vertex);
  samples_[vertex] = {usage, now};
  while (order_.size() > kStepsMax) {
    samples_.erase(order_.front());
    order_.pop_front();
  }
}

std::optional<std::string> StepUsage::find_json(const Digest& vertex) const {
  std::lock_guard lock(mutex_);
  auto found = samples_.find(vertex);
  if (found == samples_.end()) return std::nullopt;
  const auto& [usage, at] = found->second;
  const Json sample = {
      {"timestamp", format_rfc3339(at)},
      {"cpuStat", {{"usageNanos", usage.cpu_total_ns}, {"userNanos", usage.cpu_user_ns}, {"systemNanos", usage.cpu_system_ns}}},
      {"memoryStat", {{"peak", usage.memory_peak_bytes}}},
      {"ioStat", {{"readBytes", usage.io_read_bytes}, {"writeBytes", usage.io_write_bytes}}},
      {"pidsStat", {{"current", usage.pids_peak}}}};
  return Json{{"samples", Json::array({sample})}}.dump();
}

}  // namespace kiln::daemon
