#include "client/rpc.h"

#include <fmt/format.h>
#include <google/protobuf/message_lite.h>

#include <cstdlib>
#include <thread>

#include "base/text.h"
#include "client/internal/dial.h"
#include "host/fs.h"
#include "http2/call.h"

namespace kiln::client {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

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

class WireConnection final : public Connection {
 public:
  explicit WireConnection(Dialled dialled) : dialled_(std::move(dialled)) {}
  ~WireConnection() override { dialled_.wire->end(cancelled("the client is done")); }
  const std::shared_ptr<http2::Connection>& wire() const override { return dialled_.wire; }

 private:
  Dialled dialled_;
};

Status unreachable(const ConnectOptions& options, std::string_view why) {
  return environment_error(
      Code::kUnavailable,
      fmt::format("failed to reach '{}': {}; make sure the daemon is running there", options.address, why));
}

// One try after the other, if one is told to wait, until the daemon has said hello.
Result<Dialled> dial_patiently(const Address& address, const ConnectOptions& options, std::stop_token stop) {
  const auto deadline = options.timeout.count() > 0 ? http2::Ticks::now() + options.timeout : http2::kForever;
  while (true) {
    Result<Dialled> dialled = dial(address, options, {deadline, stop});
    if (dialled.ok() || stop.stop_requested() || fault_of(dialled.status()) == Fault::kUser) return dialled;
    if (options.wait == Wait::kNo || http2::Ticks::now() >= deadline) {
      return unreachable(options, message_of(dialled.status()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// What every call carries.
Fields with_trace(Fields metadata) {
  for (const char* name : {"TRACEPARENT", "TRACESTATE"}) {
    if (const char* value = std::getenv(name)) metadata.emplace_back(to_lower(name), value);
  }
  return metadata;
}

Status rpc_status(const http2::Outcome& outcome) {
  if (outcome.code == 0) return ok();
  Status out(static_cast<Code>(outcome.code), outcome.message.empty() ? "the daemon gave no reason" : outcome.message);
  if (!outcome.details.empty()) set_detail(out, kRpcDetails, outcome.details);
  return out;
}

Status parse(const http2::Pieces& pieces, MessageLite& message) {
  const std::string bytes = http2::flat(pieces);
  return message.ParseFromString(bytes) ? ok() : peer_error(Code::kInternal, "the daemon's answer is not readable");
}

}  // namespace

Result<std::vector<std::string>> carrier_command(std::string_view text) {
  KILN_ASSIGN_OR_RETURN(Address address, parse_address(text));
  const std::string& scheme = address.scheme;
  auto query = [&](const char* key) { return address.query.contains(key) ? address.query[key] : std::string(); };
  if (scheme == "unix" || scheme == "tcp") return std::vector<std::string>();
  if (address.host.empty()) return fault(fmt::format("address '{}' names no container or host", text));
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
    if (address.user.find(':') != std::string::npos) return fault("an ssh:// address must not hold a password");
    auto [host, port] = split_once(address.host, ':');
    out = {"ssh"};
    if (!address.user.empty()) out.insert(out.end(), {"-l", address.user});
    if (!port.empty()) out.insert(out.end(), {"-p", std::string(port)});
    out.insert(out.end(), {"--", std::string(host), "buildctl"});
    if (!address.path.empty()) out.insert(out.end(), {"--addr", "unix://" + address.path});
    out.push_back("dial-stdio");
  } else {
    return fault(
        fmt::format("unsupported address '{}': there are unix, tcp, docker-container, podman-container, "
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
    return user_error(Code::kNotFound,
                      fmt::format("directory did not contain one of the needed files: {} or {}", first, second));
  };
  KILN_RETURN_IF_ERROR(one_of("ca.pem", "ca.crt", options.tls_ca));
  KILN_RETURN_IF_ERROR(one_of("cert.pem", "tls.crt", options.tls_cert));
  return one_of("key.pem", "tls.key", options.tls_key);
}

Result<std::unique_ptr<Connection>> Connection::open(const ConnectOptions& options, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Address address, parse_address(options.address));
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> command, carrier_command(options.address));
  Result<Dialled> dialled = command.empty() ? dial_patiently(address, options, stop) : dial_program(command);
  KILN_RETURN_IF_ERROR(dialled.status());
  return std::make_unique<WireConnection>(*std::move(dialled));
}

Status Connection::call(const std::string& method, const Fields& metadata, const MessageLite& question,
                        MessageLite& answer, std::stop_token stop) const {
  http2::Call call(*wire(), method, {with_trace(metadata), {}});
  std::stop_callback cancel(stop, [&] { call.cancel(); });
  std::string bytes;
  KILN_RETURN_IF_ERROR(rpc_status(call.ask(question.SerializeAsString(), bytes)));
  return parse({bytes}, answer);
}

Status Connection::call_each(const std::string& method, const MessageLite& question, MessageLite& answer,
                             const std::function<Status()>& each, std::stop_token stop) const {
  http2::Call call(*wire(), method, {with_trace({}), {}});
  std::stop_callback cancel(stop, [&] { call.cancel(); });
  call.write(question.SerializeAsString(), {}, http2::Flush::kLater);
  call.writes_done();
  http2::Pieces pieces;
  while (call.read(pieces)) {
    KILN_RETURN_IF_ERROR(parse(pieces, answer));
    KILN_RETURN_IF_ERROR(each());
  }
  return rpc_status(call.finish());
}

}  // namespace kiln::client
