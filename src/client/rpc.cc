#include "client/rpc.h"

#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/text.h"
#include "base/value.h"
#include "client/internal/child.h"
#include "host/fd.h"
#include "host/fs.h"
#include "session/callback_threads.h"
#include "session/windows.h"
#include "wire/control.grpc.pb.h"

namespace kiln::client {
namespace {

Status fault(std::string message) {
  return user_error(Code::kInvalidArgument, message);
}

struct Address {
  std::string scheme;
  std::string user;
  std::string host;  // with port
  std::string path;
  std::map<std::string, std::string> query;
};

Result<Address> parse_address(std::string_view text) {
  Address address;
  auto at = text.find("://");
  if (at == std::string_view::npos) {
    return fault(
        fmt::format("invalid address '{}': want a form such as unix:///run/buildkit/buildkitd.sock "
                    "or tcp://host:1234",
                    text));
  }
  address.scheme = text.substr(0, at);
  auto [place, query] = split_once(text.substr(at + 3), '?');
  std::size_t slash = std::min(place.find('/'), place.size());
  auto [user, host] = split_once(place.substr(0, slash), '@');
  address.user = host.empty() ? "" : user;
  address.host = host.empty() ? user : host;
  address.path = place.substr(slash);
  for (std::string_view pair : split(query, '&')) {
    auto [key, value] = split_once(pair, '=');
    if (!key.empty()) address.query.emplace(key, value);
  }
  return address;
}

class ChannelConnection final : public Connection {
 public:
  ChannelConnection(std::shared_ptr<grpc::Channel> channel, std::optional<Child> carrier)
      : carrier_(std::move(carrier)), channel_(std::move(channel)) {}
  std::shared_ptr<grpc::Channel> channel() const override { return channel_; }

 private:
  std::optional<Child> carrier_;  // ends after the channel is gone
  std::shared_ptr<grpc::Channel> channel_;
};

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // An error brings its details in the trailers: with a long Dockerfile, all its lines.
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 16 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // One daemon is not the next one: no sharing of connections by address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  session::use_fixed_windows(arguments);
  return arguments;
}

Result<std::shared_ptr<grpc::ChannelCredentials>> channel_credentials(
    const ConnectOptions& options) {
  if (options.tls_ca.empty() && options.tls_cert.empty() && options.tls_key.empty())
    return grpc::InsecureChannelCredentials();
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return fault("--tlscert and --tlskey belong together; give both");
  }
  grpc::SslCredentialsOptions ssl;
  auto read = [](const std::string& path, std::string& out) -> Status {
    if (path.empty()) return ok();
    KILN_ASSIGN_OR_RETURN(out, host::read_file(path, 1 << 20));
    return ok();
  };
  KILN_RETURN_IF_ERROR(read(options.tls_ca, ssl.pem_root_certs));
  KILN_RETURN_IF_ERROR(read(options.tls_cert, ssl.pem_cert_chain));
  KILN_RETURN_IF_ERROR(read(options.tls_key, ssl.pem_private_key));
  return grpc::SslCredentials(ssl);
}

Result<std::unique_ptr<Connection>> open_carried(const std::vector<std::string>& command) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return errno_error(errno, "socketpair");
  host::Fd ours(pair[0]), theirs(pair[1]);
  KILN_ASSIGN_OR_RETURN(Child child,
                        Child::start(command, {.in = theirs.get(), .out = theirs.get()}));
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return errno_error(errno, "fcntl");
  auto channel =
      grpc::CreateCustomInsecureChannelFromFd("carrier", ours.release(), channel_arguments());
  return std::make_unique<ChannelConnection>(std::move(channel), std::move(child));
}

Result<std::unique_ptr<Connection>> open_direct(const Address& address,
                                                const ConnectOptions& options) {
  KILN_ASSIGN_OR_RETURN(auto credentials, channel_credentials(options));
  grpc::ChannelArguments arguments = channel_arguments();
  std::string target =
      address.scheme == "unix" ? "unix:" + address.host + address.path : "dns:///" + address.host;
  if (!options.tls_server_name.empty()) arguments.SetSslTargetNameOverride(options.tls_server_name);
  auto channel = grpc::CreateCustomChannel(target, credentials, arguments);
  return std::make_unique<ChannelConnection>(std::move(channel), std::nullopt);
}

Status unreachable(const ConnectOptions& options, std::string_view why) {
  return environment_error(
      Code::kUnavailable,
      fmt::format("failed to reach '{}': {}; make sure the daemon is running there",
                  options.address, why));
}

// Why a unix socket cannot be connected to; gRPC itself only says that it cannot.
std::string socket_problem(const Address& address) {
  std::string path = address.host + address.path;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return "the socket's path is too long";
  path.copy(name.sun_path, path.size());
  host::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) return "no answer";
  return std::string(message_of(errno_error(errno, fmt::format("connect to '{}'", path))));
}

// Blocks until the channel is ready, has failed (unless told to wait), or time is up.
Status await_ready(grpc::Channel& channel, const Address& address, const ConnectOptions& options,
                   std::stop_token stop) {
  auto forever = std::chrono::system_clock::time_point::max();
  Time deadline =
      options.timeout.count() > 0
          ? system_clock().now() + std::chrono::duration_cast<Time::duration>(options.timeout)
          : forever;
  for (grpc_connectivity_state state = channel.GetState(true); state != GRPC_CHANNEL_READY;
       state = channel.GetState(true)) {
    if (stop.stop_requested()) return cancelled();
    bool failed = state == GRPC_CHANNEL_TRANSIENT_FAILURE && options.wait == Wait::kNo;
    Time now = system_clock().now();
    if (failed || now >= deadline) {
      return unreachable(options, address.scheme == "unix" ? socket_problem(address)
                                  : failed ? "no connection: refused, or TLS that does not fit"
                                           : "no answer in time");
    }
    channel.WaitForStateChange(state, std::min(deadline, now + std::chrono::milliseconds(100)));
  }
  return ok();
}

}  // namespace

Result<std::vector<std::string>> carrier_command(std::string_view text) {
  KILN_ASSIGN_OR_RETURN(Address address, parse_address(text));
  const std::string& scheme = address.scheme;
  auto query = [&](const char* key) {
    return address.query.contains(key) ? address.query[key] : std::string();
  };
  if (scheme == "unix" || scheme == "tcp") return std::vector<std::string>();
  if (address.host.empty())
    return fault(fmt::format("address '{}' names no container or host", text));
  std::vector<std::string> out;
  if (scheme == "docker-container") {
    out = {"docker"};
    if (!query("context").empty()) out.push_back("--context=" + query("context"));
    out.insert(out.end(), {"exec", "-i", address.host, "buildctl", "dial-stdio"});
  } else if (scheme == "podman-container") {
    out = {"podman", "exec", "-i", address.host, "buildctl", "dial-stdio"};
  } else if (scheme == "nerdctl-container") {
    out = {"nerdctl"};
    if (!query("namespace").empty()) out.push_back("--namespace=" + query("namespace"));
    out.insert(out.end(), {"exec", "-i", address.host, "buildctl", "dial-stdio"});
  } else if (scheme == "kube-pod") {
    out = {"kubectl",
           "--context=" + query("context"),
           "--namespace=" + query("namespace"),
           "exec",
           "--container=" + query("container"),
           "-i",
           address.host,
           "--",
           "buildctl",
           "dial-stdio"};
  } else if (scheme == "ssh") {
    if (address.user.find(':') != std::string::npos)
      return fault("an ssh:// address must not hold a password");
    auto [host, port] = split_once(address.host, ':');
    out = {"ssh"};
    if (!address.user.empty()) out.insert(out.end(), {"-l", address.user});
    if (!port.empty()) out.insert(out.end(), {"-p", std::string(port)});
    out.insert(out.end(), {"--", std::string(host), "buildctl"});
    if (!address.path.empty()) out.insert(out.end(), {"--addr", "unix://" + address.path});
    out.push_back("dial-stdio");
  } else {
    return fault(fmt::format(
        "unsupported address '{}': there are unix, tcp, docker-container, podman-container, "
        "nerdctl-container, kube-pod and ssh",
        text));
  }
  return out;
}

Status read_tls_dir(const std::string& dir, ConnectOptions& options) {
  auto one_of = [&](const char* first, const char* second, std::string& out) -> Status {
    for (const char* name : {first, second}) {
      out = dir + "/" + name;
      if (host::exists(out)) return ok();
    }
    return user_error(
        Code::kNotFound,
        fmt::format("directory did not contain one of the needed files: {} or {}", first, second));
  };
  KILN_RETURN_IF_ERROR(one_of("ca.pem", "ca.crt", options.tls_ca));
  KILN_RETURN_IF_ERROR(one_of("cert.pem", "tls.crt", options.tls_cert));
  return one_of("key.pem", "tls.key", options.tls_key);
}

Result<std::unique_ptr<Connection>> Connection::open(const ConnectOptions& options,
                                                     std::stop_token stop) {
  session::hold_callback_threads();
  KILN_ASSIGN_OR_RETURN(Address address, parse_address(options.address));
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> command, carrier_command(options.address));
  if (!command.empty()) return open_carried(command);
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, open_direct(address, options));
  KILN_RETURN_IF_ERROR(await_ready(*connection->channel(), address, options, stop));
  return connection;
}

Status rpc_status(const grpc::Status& status) {
  if (status.ok()) return ok();
  Status out(static_cast<Code>(status.error_code()),
             status.error_message().empty() ? "the daemon gave no reason" : status.error_message());
  if (!status.error_details().empty()) set_detail(out, kRpcDetails, status.error_details());
  return out;
}

void prepare(grpc::ClientContext& context) {
  for (const char* name : {"TRACEPARENT", "TRACESTATE"}) {
    if (const char* value = std::getenv(name)) context.AddMetadata(to_lower(name), value);
  }
}

}  // namespace kiln::client
