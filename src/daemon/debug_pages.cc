#include "daemon/debug_pages.h"

#include <fmt/format.h>

#include "host/fs.h"

namespace kiln::daemon {
namespace {

std::string metrics_page(const DebugGround& ground) {
  const ProcessFacts facts = process_facts();
  const auto disk = host::disk_space(ground.root);
  std::vector<observe::Gauge> gauges = {
      {"kiln_builds_running", "Builds that run now.", static_cast<double>(ground.builds.running())},
      {"kiln_sessions", "Clients connected with a session.", static_cast<double>(ground.sessions.list().size())},
      {"process_cpu_seconds_total", "Processor time used.", facts.cpu_seconds},
      {"process_resident_memory_bytes", "Resident memory.", facts.resident_bytes},
      {"process_virtual_memory_bytes", "Virtual memory.", facts.virtual_bytes},
      {"process_open_fds", "Open file descriptors.", facts.open_files},
      {"process_threads", "Threads.", facts.threads},
      {"process_start_time_seconds", "Start of the process, in seconds since 1970.", facts.started},
  };
  if (disk.ok()) {
    gauges.push_back({"kiln_disk_free_bytes", "Free space where the state lies.", static_cast<double>(disk->free)});
    gauges.push_back(
        {"kiln_disk_size_bytes", "Size of the file system where the state lies.", static_cast<double>(disk->total)});
  }
  return ground.metrics.text(gauges);
}

std::string requests_page(const DebugGround& ground) {
  std::string out = "BUILD                      FRONTEND            STEPS  DONE  CACHED\n";
  ground.builds.each([&](const RunningBuild& build) {
    const StepCounts counts = build.status_log()->counts();
    const std::string& frontend = build.request().frontend;
    out += fmt::format("{:<26} {:<18} {:>6} {:>5} {:>7}\n", build.ref(), frontend.empty() ? "-" : frontend,
                       counts.total, counts.completed, counts.cached);
  });
  out += "\nSESSION\n";
  for (const auto& session : ground.sessions.list()) out += session->id() + "\n";
  return out;
}

}  // namespace

DebugPages debug_pages(const DebugGround& ground) {
  DebugPages pages = process_pages();
  pages["/metrics"] = {.content_type = "text/plain; version=0.0.4; charset=utf-8",
                       .make = [ground] { return metrics_page(ground); }};
  pages["/debug/requests"] = {.make = [ground] { return requests_page(ground); }};
  return pages;
}

}  // namespace kiln::daemon
