#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "base/value.h"
#include "client/internal/child.h"
#include "client/offers.h"
#include "host/fs.h"

namespace kiln::client {
namespace {

Result<host::Fd> connect_socket(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path)
    return user_error(Code::kInvalidArgument, fmt::format("socket path '{}' is too long", path));
  path.copy(name.sun_path, path.size());
  host::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) {
    return errno_error(errno, fmt::format("connect to agent '{}'", path));
  }
  return fd;
}

Status read_exact(int fd, std::string& out, std::size_t size) {
  out.resize(size);
  for (std::size_t at = 0; at < size;) {
    KILN_ASSIGN_OR_RETURN(std::size_t count, host::read_some(fd, std::span(out).subspan(at)));
    if (count == 0) return peer_error(Code::kUnavailable, "the agent connection ended");
    at += count;
  }
  return ok();
}

// One message of the agent protocol (draft-miller-ssh-agent): four bytes of length, one of type,
// body.
Status read_message(int fd, std::string& out) {
  constexpr std::uint32_t kMessageMax = 256 * 1024;
  std::string head;
  KILN_RETURN_IF_ERROR(read_exact(fd, head, 4));
  std::uint32_t size = 0;
  for (unsigned char byte : head) size = size << 8 | byte;
  if (size == 0 || size > kMessageMax) return peer_error(Code::kInvalidArgument, "agent message of a wrong size");
  std::string body;
  KILN_RETURN_IF_ERROR(read_exact(fd, body, size));
  out = head + body;
  return ok();
}

// Passes what lists and signs; answers everything else with failure.
void filter_agent(int asker, int agent) {
  constexpr unsigned char kList = 11, kSign = 13;
  constexpr std::string_view kFailure{"\0\0\0\1\5", 5};
  std::string message;
  while (read_message(asker, message).ok()) {
    unsigned char type = static_cast<unsigned char>(message[4]);
    if (type != kList && type != kSign) {
      if (!host::write_all(asker, kFailure).ok()) return;
      continue;
    }
    if (!host::write_all(agent, message).ok() || !read_message(agent, message).ok() ||
        !host::write_all(asker, message).ok())
      return;
  }
}

// ssh-agent holding the keys of some files, gone with this object.
class KeyAgent {
 public:
  static Result<std::shared_ptr<KeyAgent>> start(const std::vector<std::string>& keys) {
    auto agent = std::make_shared<KeyAgent>();
    std::string dir = "/tmp/kiln-agent-XXXXXX";
    if (!mkdtemp(dir.data())) return errno_error(errno, "make a directory for an ssh agent");
    agent->dir_ = dir;
    KILN_ASSIGN_OR_RETURN(agent->process_, Child::start({"ssh-agent", "-D", "-a", agent->socket()}, {}));
    for (int i = 0; i < 200 && !host::exists(agent->socket()); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    for (const std::string& key : keys) {
      KILN_ASSIGN_OR_RETURN(Ran ran, run_program({"env", "SSH_AUTH_SOCK=" + agent->socket(),
                                                  "SSH_ASKPASS_REQUIRE=never", "ssh-add", "-q", key},
                                                 ""));
      if (ran.exit_status != 0) {
        return user_error(Code::kInvalidArgument,
                          fmt::format("failed to load ssh key '{}'; keys with a passphrase need an agent", key));
      }
    }
    return agent;
  }
  ~KeyAgent() {
    process_ = Child();
    if (dir_.empty()) return;
    unlink(socket().c_str());
    rmdir(dir_.c_str());
  }
  std::string socket() const { return dir_ + "/agent"; }

 private:
  std::string dir_;
  Child process_;
};

struct Agent {
  std::string socket;
  bool raw = false;
  std::shared_ptr<KeyAgent> keys;
};

class FlagAgents final : public session::AgentSource {
 public:
  explicit FlagAgents(std::map<std::string, Agent> agents) : agents_(std::move(agents)) {}
  ~FlagAgents() override {
    std::lock_guard lock(mutex_);
    for (Filter& filter : filters_) {
      shutdown(filter.asker.get(), SHUT_RDWR);
      shutdown(filter.agent.get(), SHUT_RDWR);
    }
  }

  Status check(const std::string& id) override {
    return agents_.contains(name_of(id))
               ? ok()
               : user_error(Code::kNotFound, fmt::format("unset ssh forward key {}", name_of(id)));
  }

  Result<host::Fd> connect(const std::string& id) override {
    KILN_RETURN_IF_ERROR(check(id));
    const Agent& agent = agents_.at(name_of(id));
    KILN_ASSIGN_OR_RETURN(host::Fd there, connect_socket(agent.socket));
    if (agent.raw) return there;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return errno_error(errno, "socketpair");
    host::Fd theirs(pair[0]);
    std::lock_guard lock(mutex_);
    Filter& filter = filters_.emplace_back();
    filter.asker = host::Fd(pair[1]);
    filter.agent = std::move(there);
    filter.thread = std::jthread([asker = filter.asker.get(), agent_fd = filter.agent.get()] {
      filter_agent(asker, agent_fd);
      shutdown(asker, SHUT_RDWR);
    });
    return theirs;
  }

 private:
  static std::string name_of(const std::string& id) { return id.empty() ? "default" : id; }
  struct Filter {
    host::Fd asker;
    host::Fd agent;
    std::jthread thread;  // ends before the descriptors close
  };
  std::map<std::string, Agent> agents_;
  std::mutex mutex_;
  std::list<Filter> filters_;
};

Result<Agent> make_agent(const AgentEntry& entry, const EnvironmentLookup& environment) {
  std::vector<std::string> paths = entry.paths;
  if (paths.empty() || (paths.size() == 1 && paths[0].empty())) {
    auto socket = environment("SSH_AUTH_SOCK");
    if (!socket || socket->empty()) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("invalid empty ssh agent socket for {}: SSH_AUTH_SOCK is not "
                                    "set; start an agent or give a key",
                                    quote(entry.id)));
    }
    paths = {*socket};
  }
  struct stat stat {};
  if (::stat(paths[0].c_str(), &stat) != 0) return errno_error(errno, fmt::format("ssh '{}'", paths[0]));
  if (S_ISSOCK(stat.st_mode)) {
    if (paths.size() > 1) return user_error(Code::kInvalidArgument, "only a single socket is allowed for an ssh agent");
    return Agent{paths[0], entry.raw, nullptr};
  }
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<KeyAgent> keys, KeyAgent::start(paths));
  std::string socket = keys->socket();
  return Agent{socket, false, std::move(keys)};
}

}  // namespace

Result<std::shared_ptr<session::AgentSource>> make_agents(const std::vector<AgentEntry>& entries,
                                                          const EnvironmentLookup& environment) {
  std::map<std::string, Agent> agents;
  for (const AgentEntry& entry : entries) {
    std::string id = entry.id.empty() ? "default" : entry.id;
    if (agents.contains(id)) return user_error(Code::kInvalidArgument, fmt::format("invalid duplicate ID {}", id));
    KILN_ASSIGN_OR_RETURN(agents[id], make_agent(entry, environment));
  }
  return std::make_shared<FlagAgents>(std::move(agents));
}

}  // namespace kiln::client
