#include "sandbox/proxy/connection.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace kiln::sandbox::proxy {
namespace {

constexpr int kPatienceMs = 5 * 60 * 1000;
constexpr std::size_t kHeadMax = 256u << 10;
constexpr std::size_t kReadSize = 64u << 10;

Status broken(std::string_view what) {
  return peer_error(Code::kUnavailable, fmt::format("{} failed: the connection was closed", what));
}

std::string tls_reason() {
  const unsigned long code = ::ERR_peek_last_error();
  const char* text = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return text == nullptr ? "the connection was closed" : text;
}

// What this machine trusts; read once.
SSL_CTX* client_context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = ::SSL_CTX_new(::TLS_client_method());
    if (made == nullptr) return made;
    ::SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    ::SSL_CTX_set_default_verify_paths(made);
    ::SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nullptr);
    ::SSL_CTX_set_options(made, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return made;
  }();
  return context;
}

bool is_address(const std::string& host) {
  ASN1_OCTET_STRING* address = ::a2i_IPADDRESS(host.c_str());
  if (address == nullptr) return false;
  ::ASN1_OCTET_STRING_free(address);
  return true;
}

}  // namespace

struct Connection::Tls {
  SSL* ssl = nullptr;
  ~Tls() {
    if (ssl != nullptr) ::SSL_free(ssl);
  }
};

Connection::Connection(host::Fd socket, std::shared_ptr<const host::Wake> stopped)
    : socket_(std::move(socket)), stopped_(std::move(stopped)) {
  (void)::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
}

Connection::~Connection() {
  if (!tls_ || tls_->ssl == nullptr) return;
  ::ERR_clear_error();
  (void)::SSL_shutdown(tls_->ssl);  // says goodbye as far as that needs no waiting
}

Status Connection::wait(short events) {
  pollfd waits[] = {{socket_.get(), events, 0}, {stopped_->fd(), POLLIN, 0}};
  int ready = 0;
  do {
    ready = ::poll(waits, 2, kPatienceMs);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return errno_error(errno, "wait for a connection");
  if (waits[1].revents != 0) return cancelled();
  if (ready == 0) return peer_error(Code::kDeadlineExceeded, "the connection was silent for too long");
  return ok();
}

Result<bool> Connection::tls_again(int result, std::string_view what) {
  switch (::SSL_get_error(tls_->ssl, result)) {
    case SSL_ERROR_WANT_READ: KILN_RETURN_IF_ERROR(wait(POLLIN)); return true;
    case SSL_ERROR_WANT_WRITE: KILN_RETURN_IF_ERROR(wait(POLLOUT)); return true;
    case SSL_ERROR_ZERO_RETURN: return false;
    default: break;
  }
  const long verified = ::SSL_get_verify_result(tls_->ssl);
  if (verified != X509_V_OK) {
    return peer_error(Code::kUnavailable, fmt::format("{}: failed to verify certificate: {}", what,
                                                      ::X509_verify_cert_error_string(verified)));
  }
  return peer_error(Code::kUnavailable, fmt::format("{}: {}", what, tls_reason()));
}

Status Connection::handshake() {
  for (;;) {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(tls_->ssl);
    if (result == 1) return ok();
    KILN_ASSIGN_OR_RETURN(const bool again, tls_again(result, "tls"));
    if (!again) return broken("tls");
  }
}

Status Connection::start_tls_server(const std::shared_ptr<ssl_ctx_st>& context) {
  tls_ = std::make_unique<Tls>();
  tls_->ssl = ::SSL_new(context.get());
  if (tls_->ssl == nullptr || ::SSL_set_fd(tls_->ssl, socket_.get()) != 1) return engine_error("no memory for TLS");
  ::SSL_set_accept_state(tls_->ssl);
  return handshake();
}

Status Connection::start_tls_client(const std::string& host) {
  tls_ = std::make_unique<Tls>();
  if (SSL_CTX* context = client_context()) tls_->ssl = ::SSL_new(context);
  if (tls_->ssl == nullptr || ::SSL_set_fd(tls_->ssl, socket_.get()) != 1) return engine_error("no memory for TLS");
  if (is_address(host)) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(tls_->ssl), host.c_str());
  } else {
    ::SSL_set1_host(tls_->ssl, host.c_str());
    ::SSL_set_tlsext_host_name(tls_->ssl, host.c_str());
  }
  ::SSL_set_connect_state(tls_->ssl);
  return handshake();
}

// Adds what there is to the buffer; 0 at the end of the stream.
Result<std::size_t> Connection::fill() {
  buffer_.erase(0, taken_);
  taken_ = 0;
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kReadSize);
  Result<std::size_t> got = std::size_t{0};
  for (;;) {
    if (tls_) {
      ::ERR_clear_error();
      const int result = ::SSL_read(tls_->ssl, buffer_.data() + before, static_cast<int>(kReadSize));
      if (result > 0) {
        got = static_cast<std::size_t>(result);
        break;
      }
      const Result<bool> again = tls_again(result, "read");
      if (again.ok() && *again) continue;
      if (!again.ok()) got = again.status();
      break;
    }
    const ssize_t result = ::recv(socket_.get(), buffer_.data() + before, kReadSize, 0);
    if (result >= 0) {
      got = static_cast<std::size_t>(result);
      break;
    }
    if (errno == EINTR) continue;
    const Status waited = errno == EAGAIN
                              ? wait(POLLIN)
                              : make_error(Fault::kPeer, Code::kUnavailable, std::string("read: ") + ::strerror(errno));
    if (waited.ok()) continue;
    got = waited;
    break;
  }
  buffer_.resize(before + (got.ok() ? *got : 0));
  return got;
}

Result<std::optional<std::string>> Connection::read_head() {
  std::size_t seen = 0;
  for (;;) {
    const std::string_view all = std::string_view(buffer_).substr(taken_);
    // Some peers end lines with a bare line feed.
    for (std::size_t at = all.find('\n', seen); at != std::string_view::npos; at = all.find('\n', at + 1)) {
      const std::string_view line_before = all.substr(0, at);
      if (!line_before.ends_with('\n') && !line_before.ends_with("\n\r")) continue;
      std::string head(all.substr(0, at + 1));
      taken_ += at + 1;
      return head;
    }
    seen = all.size();
    if (seen > kHeadMax) return peer_error(Code::kInvalidArgument, "the head of an HTTP message is too long");
    KILN_ASSIGN_OR_RETURN(const std::size_t more, fill());
    if (more != 0) continue;
    if (buffer_.size() == taken_) return std::optional<std::string>();
    return broken("read");
  }
}

Result<std::string> Connection::read_line() {
  for (;;) {
    const std::size_t end = buffer_.find('\n', taken_);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(taken_, end - taken_);
      taken_ = end + 1;
      if (line.ends_with('\r')) line.pop_back();
      return line;
    }
    if (buffer_.size() - taken_ > kHeadMax)
      return peer_error(Code::kInvalidArgument, "a line of an HTTP message is too long");
    KILN_ASSIGN_OR_RETURN(const std::size_t more, fill());
    if (more == 0) return broken("read");
  }
}

Result<std::string_view> Connection::read_some(std::size_t most) {
  if (buffer_.size() == taken_) KILN_RETURN_IF_ERROR(fill().status());
  const std::string_view out = std::string_view(buffer_).substr(taken_, most);
  taken_ += out.size();
  return out;
}

Status Connection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (tls_) {
      ::ERR_clear_error();
      const int result =
          ::SSL_write(tls_->ssl, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1u << 20)));
      if (result > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(result));
        continue;
      }
      KILN_ASSIGN_OR_RETURN(const bool again, tls_again(result, "write"));
      if (!again) return broken("write");
      continue;
    }
    const ssize_t result = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (result >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(result));
    } else if (errno == EAGAIN) {
      KILN_RETURN_IF_ERROR(wait(POLLOUT));
    } else if (errno != EINTR) {
      return broken("write");
    }
  }
  return ok();
}

}  // namespace kiln::sandbox::proxy
