// One byte stream over a socket, plain or under TLS at either end, with buffered reading. Every wait
// ends with a timeout or when the session is stopped.
//
//   Connection to(std::move(socket), stopped);
//   KILN_RETURN_IF_ERROR(to.start_tls_client("example.com"));
//   KILN_RETURN_IF_ERROR(to.write("GET / HTTP/1.1\r\n…"));
//   KILN_ASSIGN_OR_RETURN(std::optional<std::string> head, to.read_head());
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "host/fd.h"
#include "host/wake.h"

struct ssl_ctx_st;

namespace kiln::sandbox::proxy {

// One thread at a time.
class Connection {
 public:
  // `stopped` is rung once and never cleared; shared by all connections of a session.
  Connection(host::Fd socket, std::shared_ptr<const host::Wake> stopped);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The peer is a client that believes us to be the server of `context`'s certificate.
  Status start_tls_server(const std::shared_ptr<ssl_ctx_st>& context);
  // The peer must prove to be `host` to this machine's trust store (SSL_CERT_FILE and the like count).
  Status start_tls_client(const std::string& host);

  // Up to and with the empty line; nothing when the peer closed before it began. Unavailable for a
  // connection that broke, InvalidArgument for a head beyond 256 KiB.
  Result<std::optional<std::string>> read_head();
  // One line without its end, for chunk sizes.
  Result<std::string> read_line();
  // Some bytes, at most `most`; empty at the end of the stream.
  Result<std::string_view> read_some(std::size_t most);
  Status write(std::string_view bytes);

 private:
  struct Tls;
  Result<std::size_t> fill();
  Status wait(short events);
  // 0: done; else what must happen before the call is tried again.
  Result<bool> tls_again(int result, std::string_view what);
  Status handshake();

  host::Fd socket_;
  std::shared_ptr<const host::Wake> stopped_;
  std::unique_ptr<Tls> tls_;
  std::string buffer_;
  std::size_t taken_ = 0;  // of the buffer
};

}  // namespace kiln::sandbox::proxy
