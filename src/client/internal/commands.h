// What the commands share: the parsed line, the ways out, the connection. Private to the room.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/command_line.h"
#include "client/progress.h"
#include "client/rpc.h"

namespace kiln::client {

enum CommandId {
  kNone,
  kBuild,
  kQuickBuild,
  kDiskUsage,
  kPrune,
  kPruneHistories,
  kDialStdio,
  kDebugWorkers,
  kDebugInfo,
  kDebugHistories,
  kDebugLogs,
  kDebugMonitor,
  kDebugCtl,
  kDebugGet,
  kDebugDumpLlb,
  kDebugDumpMetadata,
  kCheck,
  kExplain,
  kWhy,
  kCompletion,
  kMan,
};

struct Invocation {
  const CommandLine& line;
  std::string program;  // "kiln" or "buildctl"
  EnvironmentLookup environment;
  std::stop_token stop;
};

// By --addr and the TLS flags; kiln starts a daemon of its own when no address was given and none
// answers at the default places.
Result<std::unique_ptr<Connection>> connect(const Invocation& call);

// All of it to standard output.
Status print(std::string_view text);
void warn(std::string_view text);  // a line on stderr

// Ends the program with that code and no further words; what there is to say has been said.
Status exit_with(int code);
std::optional<int> exit_code_of(const Status& status);

Status run_check(const Invocation& call);
Status run_explain(const Invocation& call);
Status run_build_command(const Invocation& call);
Status run_quick_build(const Invocation& call);
Status run_disk_usage(const Invocation& call);
Status run_prune(const Invocation& call);
Status run_prune_histories(const Invocation& call);
Status run_dial_stdio(const Invocation& call);
Status run_workers(const Invocation& call);
Status run_info(const Invocation& call);
Status run_histories(const Invocation& call);
Status run_logs(const Invocation& call);
Status run_why(const Invocation& call);
Status run_monitor(const Invocation& call);
Status run_ctl(const Invocation& call);
Status run_get(const Invocation& call);
Status run_dump_llb(const Invocation& call);
Status run_dump_metadata(const Invocation& call);

// Where a daemon is expected and where kiln keeps one of its own: root's places or XDG's.
struct Places {
  std::string default_address;  // of the system's daemon
  std::string own_socket;
  std::string own_root;
  std::string own_log;
};
Places places(const EnvironmentLookup& environment);
// Starts kilnd for this user and waits until it answers. It leaves by itself after an idle time.
Status start_own_daemon(const Places& places, std::stop_token stop);

}  // namespace kiln::client
