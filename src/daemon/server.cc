#include "daemon/server.h"

#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "daemon/front.h"
#include "daemon/listener.h"
#include "daemon/tls_files.h"
#include "host/fd.h"
#include "session/callback_threads.h"
#include "session/windows.h"

namespace kiln::daemon {
namespace {

constexpr int kMessageBytesMax = 16 * 1024 * 1024;

Result<std::shared_ptr<grpc::ServerCredentials>> tls_credentials(const TlsConfig& tls) {
  if (tls.cert.empty() && tls.key.empty()) return grpc::InsecureServerCredentials();
  KILN_ASSIGN_OR_RETURN(TlsFiles files, read_tls_files(tls));
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs.push_back({std::move(files.key), std::move(files.cert)});
  if (!files.ca.empty()) {
    options.pem_root_certs = std::move(files.ca);
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

}  // namespace

struct Server::State {
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<ControlServer> control;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> local_acceptor;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> network_acceptor;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Front> front;
  std::vector<Listener> listeners;
  std::vector<std::string> addresses;
  std::atomic<Time::rep> last_connection{0};
  host::Fd wake;  // ends the accepting thread
  std::jthread accepting;

  bool secure = false;  // TLS on the network

  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  void accept_all();
  void accept_one(const Listener& listener);
  static void give(Acceptor& acceptor, host::Fd fd, int listener);
};

// One thread for all listeners: others take over each connection as soon as it is accepted.
void Server::State::accept_all() {
  std::vector<pollfd> waiting{{wake.get(), POLLIN, 0}};
  for (const Listener& listener : listeners) waiting.push_back({listener.fd.get(), POLLIN, 0});
  while (true) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    if (waiting[0].revents != 0) return;
    for (std::size_t i = 1; i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) accept_one(listeners[i - 1]);
    }
  }
}

void Server::State::accept_one(const Listener& listener) {
  const int fd = ::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    // Out of descriptors: give those in use time to be closed.
    if (errno == EMFILE || errno == ENFILE) ::usleep(10'000);
    return;
  }
  const int on = 1;
  if (!listener.is_local) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  last_connection = system_clock().now().time_since_epoch().count();
  if (listener.is_local || !secure) return front->take(host::Fd(fd));
  give(*network_acceptor, host::Fd(fd), listener.fd.get());
}

void Server::State::give(Acceptor& acceptor, host::Fd fd, int listener) {
  Acceptor::NewConnectionParameters connection;
  connection.listener_fd = listener;
  connection.fd = fd.release();
  acceptor.HandleNewConnection(&connection);
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  drain();
  stop(Duration::zero());
}

Result<std::unique_ptr<Server>> Server::start(const Config& config, const ServiceGround& ground) {
  auto state = std::make_unique<State>();
  const SocketOwner owner{config.socket_uid.value_or(static_cast<int>(::getuid())),
                          config.socket_gid.value_or(static_cast<int>(::getgid()))};
  KILN_ASSIGN_OR_RETURN(auto credentials, tls_credentials(config.tls));
  state->secure = !config.tls.cert.empty();
  for (const std::string& address : config.addresses) {
    KILN_ASSIGN_OR_RETURN(Listener listener, open_listener(address, owner));
    if (!listener.is_local && !state->secure) {
      log_warn("TLS is not enabled for {}. enabling mutual TLS authentication is highly recommended", address);
    }
    state->addresses.push_back(address);
    state->listeners.push_back(std::move(listener));
  }

  session::hold_callback_threads();
  session::add_callback_thread();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  // Clients ping idle connections; that is no reason to leave.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 1024 * 1024);
  session::use_fixed_windows(builder);
  using Acceptor = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  state->local_acceptor =
      builder.experimental().AddExternalConnectionAcceptor(Acceptor::FROM_FD, grpc::InsecureServerCredentials());
  state->network_acceptor = builder.experimental().AddExternalConnectionAcceptor(Acceptor::FROM_FD, credentials);

  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  state->control = make_control_service(ground);
  state->services.push_back(make_bridge_service(*ground.pool, find_by_metadata(*ground.builds)));
  state->services.push_back(make_content_service(*ground.pool, ground.engine->blobs(), ground.history->blobs()));
  state->services.push_back(make_health_service());
  state->services.push_back(make_trace_service(ground));
  builder.RegisterService(&state->control->service());
  for (const auto& service : state->services) builder.RegisterService(service.get());
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) return engine_error("the gRPC server does not start; are the TLS files right?");

  state->front = std::make_unique<Front>(
      ground, [raw = state.get()](host::Fd socket) { State::give(*raw->local_acceptor, std::move(socket), -1); });
  state->wake = host::Fd(::eventfd(0, EFD_CLOEXEC));
  state->accepting = std::jthread([raw = state.get()] { raw->accept_all(); });
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

const std::vector<std::string>& Server::addresses() const { return state_->addresses; }

Time Server::last_connection() const { return Time(Time::duration(state_->last_connection.load())); }

void Server::drain() {
  if (!state_->accepting.joinable()) return;
  const std::uint64_t one = 1;
  (void)!::write(state_->wake.get(), &one, sizeof one);
  state_->accepting.join();
  state_->listeners.clear();
  state_->control->end_listeners();
}

void Server::stop(Duration patience) {
  if (state_->server == nullptr) return;
  state_->server->Shutdown(std::chrono::system_clock::now() +
                           std::chrono::duration_cast<std::chrono::microseconds>(patience));
  state_->server->Wait();
  state_->front->close(patience);  // with what is not gRPC's: the sessions, the calls of builds
  state_->server.reset();
}

void notify_service_manager(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  host::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const socklen_t length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  if (::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), length) <
      0) {
    log_debug("the service manager was not told: {}", std::strerror(errno));
  }
}

}  // namespace kiln::daemon
