// The debug address: metrics for Prometheus and pages for people, over plain HTTP/1.1. Whoever may
// reach the address may read it, so it is off unless asked for (--debugaddr).
//
//   KILN_ASSIGN_OR_RETURN(auto debug, DebugServer::start("127.0.0.1:6060", pages));
//
//   /metrics               Prometheus
//   /healthz               "ok"
//   /debug/requests        builds and sessions that are here now
//   /debug/vars            the process: arguments, memory, descriptors (JSON)
//   /debug/gc              gives unused memory back to the system, now
//   /debug/pprof/cmdline   the command line, separated by NULs
//
// Pages of a Go program that have no meaning here (/debug/pprof/profile and others, /debug/flight)
// answer 501 with a sentence.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"

namespace kiln::daemon {

struct DebugPage {
  std::string content_type = "text/plain; charset=utf-8";
  std::function<std::string()> make;
};
// By path. Makers are called by one thread at a time and must be quick.
using DebugPages = std::map<std::string, DebugPage>;

// One thread, many connections: a client that reads slowly keeps nobody else waiting.
class DebugServer {
 public:
  // `address`: host:port, tcp://host:port or unix:///path.
  static Result<std::unique_ptr<DebugServer>> start(const std::string& address, DebugPages pages);
  ~DebugServer();

 private:
  struct State;
  explicit DebugServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The pages that tell of the process alone.
DebugPages process_pages();
// Gauges of the process for /metrics, as Prometheus's own libraries name them.
struct ProcessFacts {
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double cpu_seconds = 0;
  double open_files = 0;
  double threads = 0;
  double started = 0;  // seconds since 1970
};
ProcessFacts process_facts();

}  // namespace kiln::daemon
