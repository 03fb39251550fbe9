// Talking to a daemon: where it is, how to get there, what its errors say.
//
//   KILN_ASSIGN_OR_RETURN(auto connection, Connection::open({.address = "unix:///run/x.sock"},
//   stop)); Status status = connection->call(kControl + "Info", {}, request, response, stop);
//
// Addresses: unix://, tcp:// (TLS when a CA or a certificate is given), and those that start a
// program which carries the bytes: docker-container://, podman-container://, nerdctl-container://,
// kube-pod://, ssh://.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "http2/stream.h"

namespace google::protobuf {
class MessageLite;
}

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

using google::protobuf::MessageLite;
using http2::Fields;

// What stands before the names of the methods.
inline const std::string kControl = "/moby.buildkit.v1.Control/";
inline const std::string kBridge = "/moby.buildkit.v1.frontend.LLBBridge/";

// Owns the connection to a daemon and, for program addresses, the program. Any thread.
class Connection {
 public:
  // Unavailable (fault: environment) when nobody answers there; InvalidArgument for a bad address.
  // Blocking, cancellable.
  static Result<std::unique_ptr<Connection>> open(const ConnectOptions& options, std::stop_token stop);
  virtual ~Connection() = default;

  virtual const std::shared_ptr<http2::Connection>& wire() const = 0;
  // One question, one answer. Carries the trace parent of the environment beside the metadata; the
  // typed details of an error travel along for report_error. Blocking, cancellable.
  Status call(const std::string& method, const Fields& metadata, const MessageLite& question, MessageLite& answer,
              std::stop_token stop) const;
  // One question, many answers: `each` is called with every one in `answer`; its error ends the call.
  Status call_each(const std::string& method, const MessageLite& question, MessageLite& answer,
                   const std::function<Status()>& each, std::stop_token stop) const;
};

// The program and its arguments that reach a daemon behind the address; empty for unix and tcp.
// InvalidArgument for an address without the parts it needs.
Result<std::vector<std::string>> carrier_command(std::string_view address);

// Detail that holds the call's google.rpc.Status.
inline constexpr std::string_view kRpcDetails = "kiln/rpc-details";
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
std::string source_excerpt(std::string_view filename, std::string_view data, const std::vector<LineRange>& ranges);

}  // namespace kiln::client
