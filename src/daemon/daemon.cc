#include "daemon/daemon.h"

#include <fmt/format.h>
#include <grpcpp/impl/service_type.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/afterwords.h"
#include "daemon/builds.h"
#include "daemon/debug_pages.h"
#include "daemon/engine.h"
#include "daemon/library_log.h"
#include "daemon/otlp_export.h"
#include "daemon/server.h"
#include "daemon/temporary_folder.h"
#include "daemon/trace_listener.h"
#include "history/history.h"
#include "history/miss_book.h"
#include "host/fd.h"
#include "host/fs.h"
#include "host/idle_memory.h"
#include "session/session.h"

namespace kiln::daemon {
namespace {

constexpr auto kSweepInterval = std::chrono::seconds(120);
constexpr auto kCollectDelay = std::chrono::seconds(1);
// By then a build's trace is written, too, which waits for late spans.
constexpr auto kLateWork = std::chrono::seconds(8);
// Looking through all that is held takes its time when that is much; it gets a twentieth of a core at most.
constexpr int kCollectShare = 20;
constexpr auto kCallPatience = std::chrono::seconds(2);
// Told to ourselves when draining is over.
constexpr int kDrained = SIGUSR1;

Result<LogLevel> log_level(const std::string& text) {
  const std::string low = to_lower(text);
  if (low == "trace") return LogLevel::kTrace;
  if (low == "debug") return LogLevel::kDebug;
  if (low == "info" || low.empty()) return LogLevel::kInfo;
  if (low == "warn" || low == "warning") return LogLevel::kWarn;
  if (low == "error" || low == "fatal" || low == "panic") return LogLevel::kError;
  return user_error(Code::kInvalidArgument, fmt::format("unsupported log level: '{}'", text));
}

Status set_up_log(const Config& config) {
  KILN_ASSIGN_OR_RETURN(LogLevel level, log_level(config.log_level));
  if (config.log_format != "text" && config.log_format != "json" && !config.log_format.empty()) {
    return user_error(Code::kInvalidArgument, fmt::format("unsupported log type \"{}\"", config.log_format));
  }
  set_log(level, config.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  take_library_logs();
  for (const std::string& warning : config.warnings) log_warn("{}", warning);
  return ok();
}

// One daemon a root directory. The file stays: removing it would let a third daemon lock a new one
// while a second holds the old.
Result<host::Fd> lock_root(const std::string& root) {
  const std::string path = root + "/buildkitd.lock";
  KILN_ASSIGN_OR_RETURN(host::Fd lock, host::open_file(path, O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return environment_error(Code::kFailedPrecondition,
                               fmt::format("could not lock {}, another instance running?", path));
    }
    return errno_error(errno, fmt::format("could not lock {}", path));
  }
  return lock;
}

Result<std::string> worker_id(const std::string& root) {
  const std::string path = root + "/workerid";
  if (auto known = host::read_file(path); known.ok() && !trim(*known).empty()) return std::string(trim(*known));
  std::string id = new_id();
  KILN_RETURN_IF_ERROR(host::replace_file(path, id));
  return id;
}

// Work between builds, on one thread: collection soon after a build, retention of history now and
// then.
class Housekeeper {
 public:
  Housekeeper(Engine& engine, history::History& history, bool collects)
      : engine_(engine),
        history_(history),
        collects_(collects),
        thread_([this](std::stop_token stop) { work(stop); }) {}

  void after_build() {
    std::lock_guard lock(mutex_);
    due_ = true;
    changed_.notify_one();
  }

 private:
  void work(std::stop_token stop) {
    Duration delay = kCollectDelay;
    std::optional<std::chrono::steady_clock::time_point> late;
    while (!stop.stop_requested()) {
      if (Status status = history_.sweep(); !status.ok()) log_warn("sweep the history: {}", message_of(status));
      const auto until = std::chrono::steady_clock::now() + kSweepInterval;
      while (std::chrono::steady_clock::now() < until && !stop.stop_requested()) {
        bool due = false;
        {
          std::unique_lock lock(mutex_);
          changed_.wait_until(lock, stop, std::min(until, late.value_or(until)), [&] { return due_; });
          due = std::exchange(due_, false);
        }
        if (late && std::chrono::steady_clock::now() >= *late) {
          late.reset();
          host::give_back_memory();
        }
        if (!due || !wait_for(stop, delay).ok()) continue;
        const auto began = std::chrono::steady_clock::now();
        if (collects_) {
          if (Status status = engine_.collect(stop); !status.ok() && !is_cancelled(status)) {
            log_warn("collect: {}", message_of(status));
          }
        }
        delay = std::max<Duration>(kCollectDelay, kCollectShare * (std::chrono::steady_clock::now() - began));
        host::give_back_memory();
        late = std::chrono::steady_clock::now() + kLateWork;
      }
    }
  }

  Engine& engine_;
  history::History& history_;
  bool collects_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool due_ = true;  // once after start
  std::jthread thread_;
};

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, kDrained}) sigaddset(&set, number);
  return set;
}

// Returns when the daemon is to leave. Waits in slices only when it may leave by itself.
void wait_for_end(const Config& config, Server& server, Builds& builds, session::Sessions& sessions) {
  const sigset_t signals = handled_signals();
  const Time started = system_clock().now();
  Time busy = started;
  std::jthread draining;
  for (int told = 0;;) {
    timespec slice{1, 0};
    const bool may_leave = config.idle_exit > Duration::zero() && told == 0;
    const int number = ::sigtimedwait(&signals, nullptr, may_leave ? &slice : nullptr);
    if (number == kDrained) return;
    if (number == SIGTERM || number == SIGINT) {
      ++told;
      if (told == 1) {
        log_info("stopping: builds that run may end; a second signal cancels them");
        notify_service_manager("STOPPING=1");
        builds.drain();
        draining = std::jthread([&, self = ::pthread_self()] {
          server.drain();
          builds.wait_idle();
          ::pthread_kill(self, kDrained);
        });
      } else if (told == 2) {
        builds.cancel_all();
      } else {
        ::_exit(1);
      }
      continue;
    }
    const Time now = system_clock().now();
    if (builds.running() > 0 || !sessions.list().empty()) busy = now;
    if (may_leave && now - std::max(busy, server.last_connection()) > config.idle_exit) {
      log_info("leaving: nobody came for a while");
      return;
    }
  }
}

std::optional<std::string> environment_variable(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// Each span goes to the build of its trace, whether that runs or has ended lately, or else straight on.
void take_spans(std::vector<observe::Span> spans, Builds& builds, Afterwords& afterwords) {
  // What joins a build is sent on with it.
  std::erase_if(spans, [&](const observe::Span& span) { return builds.add_span(span) || afterwords.add_span(span); });
  afterwords.send(std::move(spans));
}

}  // namespace

Status run_daemon(const Config& config) {
  // Few arenas: threads come and go, and each arena keeps what its threads freed.
  ::mallopt(M_ARENA_MAX, 2);
  // Buffers of a megabyte go back to the system when they are freed. Left to itself malloc would begin
  // to keep them after the first one, and twenty layers compressed one after the other would add up.
  ::mallopt(M_MMAP_THRESHOLD, 768 * 1024);
  // What is freed during builds is needed again at once; it goes back when the daemon falls idle.
  ::mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
  ::umask(0);
  KILN_RETURN_IF_ERROR(set_up_log(config));
  const sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  KILN_RETURN_IF_ERROR(host::make_dirs(config.root, 0700));
  KILN_ASSIGN_OR_RETURN(host::Fd lock, lock_root(config.root));
  KILN_ASSIGN_OR_RETURN(TemporaryFolder temporary, TemporaryFolder::take(config.root));
  host::SpaceReserve reserve(config.root + "/reserve");
  std::optional<host::SpaceReserve::Loan> room_to_start(reserve.lend());
  KILN_ASSIGN_OR_RETURN(std::string id, worker_id(config.root));
  Pool pool;
  session::Sessions sessions;
  KILN_ASSIGN_OR_RETURN(auto history, history::History::open({.root = config.root + "/history",
                                                              .age_max = config.history_age_max,
                                                              .entries_max = config.history_entries_max}));
  ServiceGround ground{.pool = &pool, .history = history.get(), .sessions = &sessions};
  TraceListener traces(config.otel_socket_path, [&] { return make_trace_service(ground); });
  const auto trace_socket = [&] { return ground.take_spans ? traces.path() : std::string(); };
  KILN_ASSIGN_OR_RETURN(auto engine,
                        open_engine(config, {&pool, &sessions, history.get(), id, &reserve, trace_socket}));
  room_to_start.reset();
  observe::Metrics metrics;
  history::MissBook book(config.root + "/history");
  auto transport = registry::make_curl_transport({.user_agent = "kiln"});
  KILN_ASSIGN_OR_RETURN(auto spans, open_span_exporter(environment_variable, *transport));
  Afterwords afterwords({.history = history.get(), .book = &book, .metrics = &metrics, .exporter = spans.get()});
  Builds builds({.runner = &engine->runner(),
                 .history = history.get(),
                 .afterwords = &afterwords,
                 .metrics = &metrics,
                 .pool = &pool,
                 .spool = config.root});
  Housekeeper housekeeper(*engine, *history, config.worker.gc);
  ground.builds = &builds;
  ground.engine = engine.get();
  ground.after_build = [&] { housekeeper.after_build(); };
  ground.take_spans = [&](std::vector<observe::Span> taken) { take_spans(std::move(taken), builds, afterwords); };
  KILN_ASSIGN_OR_RETURN(auto server, Server::start(config, ground));
  std::unique_ptr<DebugServer> debug;
  if (!config.debug_address.empty()) {
    KILN_ASSIGN_OR_RETURN(
        debug, DebugServer::start(config.debug_address, debug_pages({metrics, builds, sessions, config.root})));
  }
  for (const std::string& address : server->addresses()) log_info("running server on {}", address);
  notify_service_manager("READY=1");
  wait_for_end(config, *server, builds, sessions);
  builds.drain();
  server->drain();
  server->stop(kCallPatience);
  traces.close();
  log_info("stopped");
  return ok();
}

}  // namespace kiln::daemon
