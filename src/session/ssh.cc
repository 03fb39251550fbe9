#include "session/ssh.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "base/log.h"
#include "base/quote.h"
#include "host/fs.h"
#include "session/internal/agent_pump.h"
#include "session/internal/call.h"
#include "session/internal/connection.h"
#include "wire/ssh.pb.h"

namespace kiln::session {
namespace {

namespace proto = moby::sshforward::v1;

// Accepts connections and turns each into a call. Kept alive by the poller until closed.
class Listener final : public host::Pollee, public std::enable_shared_from_this<Listener> {
 public:
  Listener(std::shared_ptr<Session> session, std::string id, host::Fd socket)
      : session_(std::move(session)), id_(std::move(id)), socket_(std::move(socket)) {}

  Status start() {
    std::lock_guard lock(mutex_);
    KILN_ASSIGN_OR_RETURN(watch_, poller().watch(socket_.get(), shared_from_this()));
    poller().arm(watch_, socket_.get(), EPOLLIN);
    return ok();
  }

  void on_ready(std::uint32_t) override {
    std::lock_guard lock(mutex_);
    if (!socket_.valid()) return;
    while (true) {
      host::Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!connection.valid()) break;
      forget_ended();
      auto stream = session_->connection().calls->open(
          http2::request_fields("/moby.sshforward.v1.SSH/ForwardAgent", {{"buildkit.ssh.id", id_}}, {}));
      auto pump = internal::AgentPump::start(session_->connection().poller, std::move(connection), stream,
                                             internal::AgentPump::End::kAsking, [stream] { stream->end(); });
      if (pump.ok()) {
        pumps_.push_back(*pump);
      } else {
        log_warn("{}", message_of(pump.status()));
        stream->reset(http2::kCancel);
      }
    }
    poller().arm(watch_, socket_.get(), EPOLLIN);
  }

  void close() {
    std::vector<std::weak_ptr<internal::AgentPump>> pumps;
    {
      std::lock_guard lock(mutex_);
      if (!socket_.valid()) return;
      poller().forget(watch_, socket_.get());
      socket_.reset();
      pumps.swap(pumps_);
    }
    for (auto& weak : pumps) {
      if (auto pump = weak.lock()) pump->abort();
    }
  }

 private:
  host::Poller& poller() { return *session_->connection().poller; }
  void forget_ended() {
    auto ended = [](const std::weak_ptr<internal::AgentPump>& pump) { return pump.expired(); };
    pumps_.erase(std::remove_if(pumps_.begin(), pumps_.end(), ended), pumps_.end());
  }

  std::mutex mutex_;
  std::shared_ptr<Session> session_;
  std::string id_;
  host::Fd socket_;
  std::uint64_t watch_ = 0;
  std::vector<std::weak_ptr<internal::AgentPump>> pumps_;
};

class ListeningSocket final : public SshSocket {
 public:
  ListeningSocket(host::TempDir dir, std::string path, std::shared_ptr<Listener> listener)
      : dir_(std::move(dir)), path_(std::move(path)), listener_(std::move(listener)) {}
  ~ListeningSocket() override { listener_->close(); }
  const std::string& path() const override { return path_; }

 private:
  host::TempDir dir_;
  std::string path_;
  std::shared_ptr<Listener> listener_;
};

Result<std::unique_ptr<SshSocket>> listen_for(std::shared_ptr<Session> session, const SshSocketOptions& options) {
  KILN_ASSIGN_OR_RETURN(host::TempDir dir, host::TempDir::make("kiln-ssh-"));
  // Steps of other users reach the socket through the directory.
  if (chmod(dir.path().c_str(), 0711) != 0) return errno_error(errno, "open the socket's directory");
  std::string path = dir.path() + "/ssh_auth_sock";
  // A socket's name has a hundred bytes, a temporary directory's may have more: it is named by its descriptor.
  host::Fd place(::open(dir.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place.valid()) return errno_error(errno, fmt::format("open '{}'", dir.path()));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/ssh_auth_sock", place.get());
  host::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() || bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(socket.get(), 64) != 0 || chown(path.c_str(), options.uid, options.gid) != 0 ||
      chmod(path.c_str(), options.mode) != 0) {
    return errno_error(errno, fmt::format("listen at '{}'", path));
  }
  auto listener =
      std::make_shared<Listener>(std::move(session), options.id.empty() ? "default" : options.id, std::move(socket));
  KILN_RETURN_IF_ERROR(listener->start());
  return std::unique_ptr<SshSocket>(
      std::make_unique<ListeningSocket>(std::move(dir), std::move(path), std::move(listener)));
}

class GroupAgents final : public SshAsker {
 public:
  explicit GroupAgents(SessionGroup group) : group_(std::move(group)) {}

  Status check(const std::string& id, std::stop_token stop) override { return find(id, stop).status(); }

  Result<std::unique_ptr<SshSocket>> forward(const SshSocketOptions& options, std::stop_token stop) override {
    KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, find(options.id, stop));
    return listen_for(std::move(session), options);
  }

 private:
  Result<std::shared_ptr<Session>> find(const std::string& id, std::stop_token stop) {
    std::string found;
    Status asked = group_.any(stop, [&](Session& session) {
      proto::CheckAgentRequest request;
      proto::CheckAgentResponse response;
      request.set_id(id.empty() ? "default" : id);
      found = session.id();
      return internal::ask(session, "/moby.sshforward.v1.SSH/CheckAgent", {{}, {}, stop}, request, response);
    });
    if (asked.code() == Code::kUnimplemented) {
      return user_error(Code::kFailedPrecondition, fmt::format("no SSH key {} forwarded from the client", quote(id)));
    }
    KILN_RETURN_IF_ERROR(asked);
    return group_.get(found, stop);
  }

  SessionGroup group_;
};

}  // namespace

std::unique_ptr<SshAsker> ssh_asker(SessionGroup group) { return std::make_unique<GroupAgents>(std::move(group)); }

}  // namespace kiln::session
