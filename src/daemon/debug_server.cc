#include "daemon/debug_server.h"

#include <dirent.h>
#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <list>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "daemon/listener.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

constexpr std::size_t kRequestBytesMax = 16 * 1024;
constexpr int kPatienceMs = 5'000;  // without a byte
constexpr std::size_t kVisitsMax = 64;
using SteadyTime = std::chrono::steady_clock::time_point;

std::string answer_text(int code, std::string_view reason, std::string_view type, std::string_view body) {
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", code,
                     reason, type, body.size(), body);
}

std::string index_page(const DebugPages& pages) {
  std::string out;
  for (const auto& [path, page] : pages) out += path + "\n";
  return out;
}

bool is_of_go(std::string_view path) {
  return path.starts_with("/debug/pprof") || path.starts_with("/debug/flight") || path.starts_with("/debug/events") ||
         path.starts_with("/debug/cache");
}

std::string answer_to(std::string_view request, const DebugPages& pages) {
  constexpr std::string_view kText = "text/plain; charset=utf-8";
  const std::vector<std::string_view> line = words(request.substr(0, request.find("\r\n")));
  if (line.size() < 2) return answer_text(400, "Bad Request", kText, "this is no HTTP request\n");
  if (line[0] != "GET" && line[0] != "HEAD" && line[0] != "POST") {
    return answer_text(405, "Method Not Allowed", kText, "these pages are only read\n");
  }
  const std::string path(split_once(line[1], '?').first);
  if (path == "/" || path == "/debug" || path == "/debug/") return answer_text(200, "OK", kText, index_page(pages));
  auto page = pages.find(path);
  if (page != pages.end()) return answer_text(200, "OK", page->second.content_type, page->second.make());
  if (is_of_go(path)) {
    return answer_text(501, "Not Implemented", kText,
                       fmt::format("'{}' tells of Go's runtime and has no meaning in this program; see /debug/, and "
                                   "'kiln why' for cache misses\n",
                                   path));
  }
  return answer_text(404, "Not Found", kText, "no such page; see /debug/\n");
}

// One client, from its first byte to the last of its answer. Never blocks: whoever reads slowly keeps nobody
// else from the pages.
class Visit {
 public:
  explicit Visit(host::Fd socket) : socket_(std::move(socket)) {}

  pollfd waits_for() const { return {socket_.get(), static_cast<short>(answer_.empty() ? POLLIN : POLLOUT), 0}; }
  bool is_late(SteadyTime now) const { return now > moved_ + std::chrono::milliseconds(kPatienceMs); }

  // The socket is ready. False when the visit is over.
  bool go_on(const DebugPages& pages, SteadyTime now) {
    moved_ = now;
    return answer_.empty() ? read_head(pages) : write_answer();
  }

 private:
  // Up to the empty line that ends the head.
  bool read_head(const DebugPages& pages) {
    char buffer[4096];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    head_.append(buffer, static_cast<std::size_t>(got));
    if (head_.find("\r\n\r\n") == std::string::npos && head_.size() < kRequestBytesMax) return true;
    answer_ = answer_to(head_, pages);
    return write_answer();
  }

  bool write_answer() {
    const ssize_t put =
        ::send(socket_.get(), answer_.data() + sent_, answer_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    sent_ += static_cast<std::size_t>(put);
    return sent_ < answer_.size();
  }

  host::Fd socket_;
  SteadyTime moved_ = std::chrono::steady_clock::now();
  std::string head_, answer_;
  std::size_t sent_ = 0;
};

std::string vars_json() {
  const ProcessFacts facts = process_facts();
  const struct mallinfo2 heap = ::mallinfo2();
  nlohmann::ordered_json out = {
      {"cmdline", nlohmann::json::array()},
      {"memory", {{"resident", facts.resident_bytes}, {"heapInUse", heap.uordblks}, {"heapFree", heap.fordblks}}},
      {"threads", facts.threads},
      {"openFiles", facts.open_files},
      {"cpuSeconds", facts.cpu_seconds}};
  if (auto line = host::read_file("/proc/self/cmdline"); line.ok()) {
    std::string_view rest(*line);
    if (rest.ends_with('\0')) rest.remove_suffix(1);
    for (std::string_view word : split(rest, '\0')) out["cmdline"].push_back(std::string(word));
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

struct DebugServer::State {
  Listener listener;
  DebugPages pages;
  host::Fd wake;
  std::jthread thread;

  void serve();
};

void DebugServer::State::serve() {
  std::list<Visit> visits;
  while (true) {
    std::vector<pollfd> waiting = {{wake.get(), POLLIN, 0}};
    waiting.push_back({visits.size() < kVisitsMax ? listener.fd.get() : -1, POLLIN, 0});
    for (const Visit& visit : visits) waiting.push_back(visit.waits_for());
    if (::poll(waiting.data(), waiting.size(), visits.empty() ? -1 : kPatienceMs / 5) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (waiting[0].revents != 0) return;
    const SteadyTime now = std::chrono::steady_clock::now();
    auto ready = waiting.begin() + 2;
    for (auto visit = visits.begin(); visit != visits.end();) {
      const bool stays = (ready++)->revents != 0 ? visit->go_on(pages, now) : !visit->is_late(now);
      visit = stays ? std::next(visit) : visits.erase(visit);
    }
    if (waiting[1].revents == 0) continue;
    host::Fd connection(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) visits.emplace_back(std::move(connection));
  }
}

DebugServer::DebugServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

DebugServer::~DebugServer() {
  const std::uint64_t one = 1;
  (void)!::write(state_->wake.get(), &one, sizeof one);
}

Result<std::unique_ptr<DebugServer>> DebugServer::start(const std::string& address, DebugPages pages) {
  auto state = std::make_unique<State>();
  const std::string full = address.find("://") == std::string::npos ? "tcp://" + address : address;
  KILN_ASSIGN_OR_RETURN(state->listener,
                        open_listener(full, {static_cast<int>(::getuid()), static_cast<int>(::getgid())}));
  state->pages = std::move(pages);
  state->wake = host::Fd(::eventfd(0, EFD_CLOEXEC));
  if (!state->wake.valid()) return errno_error(errno, "make an eventfd for the debug pages");
  state->thread = std::jthread([raw = state.get()] { raw->serve(); });
  return std::unique_ptr<DebugServer>(new DebugServer(std::move(state)));
}

ProcessFacts process_facts() {
  static const double kStarted =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  ProcessFacts out;
  out.started = kStarted;
  if (auto pages = host::read_file("/proc/self/statm"); pages.ok()) {
    const std::vector<std::string_view> fields = words(*pages);
    const double size = static_cast<double>(::sysconf(_SC_PAGESIZE));
    if (fields.size() > 1) {
      out.virtual_bytes = std::strtod(std::string(fields[0]).c_str(), nullptr) * size;
      out.resident_bytes = std::strtod(std::string(fields[1]).c_str(), nullptr) * size;
    }
  }
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  out.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  const auto count = [](const char* directory) {
    double entries = 0;
    if (DIR* stream = ::opendir(directory)) {
      while (const dirent* entry = ::readdir(stream)) entries += entry->d_name[0] != '.' ? 1 : 0;
      ::closedir(stream);
    }
    return entries;
  };
  out.open_files = count("/proc/self/fd");
  out.threads = count("/proc/self/task");
  return out;
}

DebugPages process_pages() {
  DebugPages pages;
  pages["/healthz"] = {.make = [] { return std::string("ok\n"); }};
  pages["/debug/vars"] = {.content_type = "application/json", .make = vars_json};
  pages["/debug/gc"] = {.make = [] {
    return std::string(::malloc_trim(0) == 1 ? "memory was given back\n" : "there was nothing to give back\n");
  }};
  pages["/debug/pprof/cmdline"] = {.make = [] { return host::read_file("/proc/self/cmdline").value_or(""); }};
  return pages;
}

}  // namespace kiln::daemon
