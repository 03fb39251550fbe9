// The client's end: opens a session on a daemon and answers what the daemon asks. For the command
// line; works with any BuildKit daemon.
//
//   Offers offers;
//   offers.dirs["context"] = tree;
//   offers.secrets = secrets; offers.credentials = logins;
//   KILN_ASSIGN_OR_RETURN(auto session, ClientSession::open(daemon, "name", "", offers));
//   solve(…, session->id());
//
// Only what is offered is announced. The objects are called from threads of the session, several at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/stream.h"
#include "content/blob_store.h"
#include "registry/credentials.h"
#include "session/export_target.h"
#include "session/file_tree.h"

namespace kiln::http2 {
class Connection;
}

namespace kiln::session {

// Secrets by id. Any thread.
class SecretSource {
 public:
  virtual ~SecretSource() = default;
  virtual Result<std::optional<std::string>> secret(const std::string& id) = 0;
};

// Where agent connections go. Any thread.
class AgentSource {
 public:
  virtual ~AgentSource() = default;
  // NotFound for an unknown id.
  virtual Status check(const std::string& id) = 0;
  // A connected stream socket that speaks the agent's protocol.
  virtual Result<host::Fd> connect(const std::string& id) = 0;
};

// Logins and tokens; the client room reads docker's configuration and speaks HTTP. Any thread.
class LoginSource {
 public:
  virtual ~LoginSource() = default;
  virtual Result<registry::Login> login(const std::string& host) = 0;
  // Unimplemented: the daemon fetches tokens itself.
  virtual Result<registry::Token> fetch_token(const registry::TokenRequest& request, std::stop_token stop) = 0;
  // A secret of this machine for the host, mixed into the keys that prove a login; 16 bytes, kept.
  // Unavailable: no client-side tokens.
  virtual Result<std::string> token_seed(const std::string& host) = 0;
};

// Where an exporter's output goes: exactly one of the two.
struct OutputTarget {
  // A directory to write the tree into; `mirror` deletes what is not told.
  std::string dir;
  bool mirror = false;
  // Opens a sink for a stream, told the exporter's metadata; null means "have it already".
  std::function<Result<std::unique_ptr<ExportSink>>(const std::map<std::string, std::string>& metadata)> open;
};

struct Offers {
  std::map<std::string, std::shared_ptr<FileTree>> dirs;
  std::map<int, OutputTarget> outputs;  // by exporter id
  std::shared_ptr<LoginSource> logins;
  std::shared_ptr<SecretSource> secrets;
  std::shared_ptr<AgentSource> agents;
  std::map<std::string, std::shared_ptr<content::BlobStore>> contents;  // by store id: "oci:base", "local:/x"
  // By URL path: streams that the daemon may pull, each once.
  std::map<std::string, std::function<Result<std::unique_ptr<ByteSource>>()>> uploads;
  // A serialised CheckPolicyResponse for a serialised CheckPolicyRequest.
  std::function<Result<std::string>(const std::string&)> policy;
  // Decides the exporters once a result is there.
  std::function<Result<std::vector<ExporterRequest>>(const std::map<std::string, std::string>& metadata,
                                                     const std::vector<std::string>& refs)>
      exporters;
  std::function<Status(const std::map<std::string, std::string>& response)> finalize;
  // Whether a daemon on this machine may take files directly (docs/formats/session-direct.md).
  bool direct = true;
  // Bytes of files sent so far, for a progress line.
  std::function<void(const std::string& dir, std::int64_t bytes)> progress;
};

// An open session; ends when destroyed. Any thread.
class ClientSession {
 public:
  // Calls Control.Session on the connection to a daemon. The id is new. Returns once the call is under way; whether
  // the daemon took it shows in the first Solve that names the session.
  static Result<std::unique_ptr<ClientSession>> open(std::shared_ptr<http2::Connection> daemon, const std::string& name,
                                                     const std::string& shared_key, Offers offers);
  virtual ~ClientSession() = default;
  virtual const std::string& id() const = 0;
  // Ends it: no more is answered. Blocks until running answers have ended.
  virtual void close() = 0;
  // The reason when the daemon ended it.
  virtual std::optional<Status> ended() const = 0;
};

}  // namespace kiln::session
