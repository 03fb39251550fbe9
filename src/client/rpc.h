// Talking to a daemon: where it is, how to get there, what its errors say.
//
//   KILN_ASSIGN_OR_RETURN(auto connection, Connection::open({.address = "unix:///run/x.sock"},
//   stop)); auto control = Control::NewStub(connection->channel());
//
// Addresses: unix://, tcp:// (TLS when a CA or a certificate is given), and those that start a
// program which carries the bytes: docker-container://, podman-container://, nerdctl-container://,
// kube-pod://, ssh://.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace kiln::client {

enum class Wait { kNo, kYes };

struct ConnectOptions {
  std::string address;
  std::string tls_server_name;  // empty: the host of the address
  std::string tls_ca;           // PEM files
  std::string tls_cert;
  std::string tls_key;
  Duration timeout = std::chrono::seconds(5);
  Wait wait = Wait::kNo;  // until the daemon answers, up to the timeout (zero: for ever)
};

// ca.pem, cert.pem, key.pem or ca.crt, tls.crt, tls.key of a directory. NotFound names what lacks.
Status read_tls_dir(const std::string& dir, ConnectOptions& options);

// Owns the channel and, for program addresses, the program. Any thread.
class Connection {
 public:
  // Unavailable (fault: environment) when nobody answers there; InvalidArgument for a bad address.
  // Blocking, cancellable.
  static Result<std::unique_ptr<Connection>> open(const ConnectOptions& options,
                                                  std::stop_token stop);
  virtual ~Connection() = default;
  virtual std::shared_ptr<grpc::Channel> channel() const = 0;
};

// The program and its arguments that reach a daemon behind the address; empty for unix and tcp.
// InvalidArgument for an address without the parts it needs.
Result<std::vector<std::string>> carrier_command(std::string_view address);

// Detail that holds the call's google.rpc.Status.
inline constexpr std::string_view kRpcDetails = "kiln/rpc-details";
// A call's outcome as Status. The typed details travel along for report_error.
Status rpc_status(const grpc::Status& status);
// What every call carries: the trace parent of the environment.
void prepare(grpc::ClientContext& context);

// Prints an error as the command line's last words: the excerpts of the source, what policies said,
// and "error: …". With debug also the code and the names of further details.
enum class Verbosity { kNormal, kDebug };
std::string error_report(const Status& status, Verbosity verbosity);

// Lines around the ranges, the ranges' own lines marked; words that a range on one line narrows down
// to (characters begin..end, counted from 0) are underlined.
struct LineRange {
  int first = 0;
  int last = 0;
  int begin = 0;
  int end = 0;
};
std::string source_excerpt(std::string_view filename, std::string_view data,
                           const std::vector<LineRange>& ranges);

}  // namespace kiln::client
