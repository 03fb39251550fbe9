// What a control group has used and suffered at one moment, as far as the kernel tells: the fields of
// version 2, and what version 1 has of them. Absent is not zero.
//
//   CgroupSample now = read_cgroup_sample(group.folders());
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace kiln::host {

using Count = std::optional<std::uint64_t>;

// Pressure stall information (Documentation/accounting/psi.rst): shares of time in percent, and the
// total in microseconds.
struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  std::uint64_t total_us = 0;
};
struct Pressure {
  std::optional<PressureLine> some, full;
};

struct CgroupSample {
  struct Cpu {
    Count usage_ns, user_ns, system_ns, periods, throttled, throttled_ns;
    std::optional<Pressure> pressure;
  };
  struct Memory {
    Count anon, file, kernel_stack, page_tables, sock, shmem, file_mapped, file_dirty, file_writeback, slab;
    Count pgscan, pgsteal, pgfault, pgmajfault, swap, peak;
    std::uint64_t low_events = 0, high_events = 0, max_events = 0, oom_events = 0, oom_kill_events = 0;
    std::optional<Pressure> pressure;
  };
  struct Io {
    Count read_bytes, write_bytes, discard_bytes, reads, writes, discards;
    std::optional<Pressure> pressure;
  };
  std::optional<Cpu> cpu;
  std::optional<Memory> memory;
  std::optional<Io> io;
  Count pids;
};

// `folders` as Cgroup::folders gives them. Any thread; a handful of small reads.
CgroupSample read_cgroup_sample(const std::vector<std::pair<std::string, std::string>>& folders);

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull …".
std::optional<Pressure> parse_pressure(const std::string& text);

// Time that the machine's processors spent, in seconds, since it started (/proc/stat).
struct SystemCpu {
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0, guest = 0,
         guest_nice = 0;
};
std::optional<SystemCpu> read_system_cpu();
SystemCpu operator-(const SystemCpu& later, const SystemCpu& earlier);

}  // namespace kiln::host
