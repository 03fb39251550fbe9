#include "daemon/debug_server.h"

#include <dirent.h>
#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "daemon/listener.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

constexpr std::size_t kRequestBytesMax = 16 * 1024;
constexpr int kPatienceMs = 5'000;

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

// Up to the empty line that ends the head; nothing when it does not come in time.
std::string read_head(int fd) {
  std::string head;
  char buffer[4096];
  while (head.size() < kRequestBytesMax && head.find("\r\n\r\n") == std::string::npos) {
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, kPatienceMs) <= 0) return "";
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) return "";
    head.append(buffer, static_cast<std::size_t>(got));
  }
  return head;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    pollfd waiting{fd, POLLOUT, 0};
    if (::poll(&waiting, 1, kPatienceMs) <= 0) return;
    const ssize_t put = ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

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
  while (true) {
    pollfd waiting[] = {{wake.get(), POLLIN, 0}, {listener.fd.get(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[0].revents != 0) return;
    if (waiting[1].revents == 0) continue;
    host::Fd connection(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) continue;
    const std::string request = read_head(connection.get());
    if (!request.empty()) write_all(connection.get(), answer_to(request, pages));
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
