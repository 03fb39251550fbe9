#include "client/internal/tls_pipe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "client/internal/dial.h"

namespace kiln::client {
namespace {

std::string tls_words() {
  char text[256] = "no reason given";
  if (unsigned long error = ::ERR_get_error(); error != 0) ::ERR_error_string_n(error, text, sizeof text);
  ::ERR_clear_error();
  return text;
}

using Context = std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)>;

Result<Context> make_context(const ConnectOptions& options) {
  Context context(::SSL_CTX_new(::TLS_client_method()), ::SSL_CTX_free);
  if (!context) return engine_error("no TLS: " + tls_words());
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  auto unfit = [](const std::string& file) {
    return user_error(Code::kInvalidArgument, fmt::format("'{}' cannot be used for TLS: {}", file, tls_words()));
  };
  const bool known = options.tls_ca.empty() ? ::SSL_CTX_set_default_verify_paths(context.get()) == 1
                                            : ::SSL_CTX_load_verify_file(context.get(), options.tls_ca.c_str()) == 1;
  if (!known) return unfit(options.tls_ca);
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return user_error(Code::kInvalidArgument, "--tlscert and --tlskey belong together; give both");
  }
  if (options.tls_cert.empty()) return context;
  if (::SSL_CTX_use_certificate_chain_file(context.get(), options.tls_cert.c_str()) != 1)
    return unfit(options.tls_cert);
  if (::SSL_CTX_use_PrivateKey_file(context.get(), options.tls_key.c_str(), SSL_FILETYPE_PEM) != 1)
    return unfit(options.tls_key);
  return context;
}

// The host without its port.
std::string name_of(const std::string& place) {
  std::string host = place.substr(0, place.rfind(':'));
  return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

void expect_name(SSL* ssl, const std::string& name) {
  in6_addr ignored;
  if (::inet_pton(AF_INET, name.c_str(), &ignored) == 1 || ::inet_pton(AF_INET6, name.c_str(), &ignored) == 1) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), name.c_str());
  } else {
    ::SSL_set1_host(ssl, name.c_str());
    ::SSL_set_tlsext_host_name(ssl, name.c_str());
  }
}

// One direction's bytes under way.
struct Lane {
  std::array<char, 32 * 1024> bytes;
  std::size_t at = 0, end = 0;
  bool empty() const { return at == end; }
};

}  // namespace

struct TlsPipe::State {
  host::Fd outer, middle;
  std::unique_ptr<SSL, decltype(&::SSL_free)> ssl{nullptr, ::SSL_free};
  Lane out, in;

  void pump();
  enum class Moved { kYes, kNo, kEnd };
  Moved read_middle();
  Moved write_middle();
  Moved tls_result(int count, short& wants);
};

TlsPipe::State::Moved TlsPipe::State::read_middle() {
  if (!out.empty()) return Moved::kNo;
  const ssize_t got = ::recv(middle.get(), out.bytes.data(), out.bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Moved::kNo;
  if (got <= 0) return Moved::kEnd;
  out.at = 0;
  out.end = static_cast<std::size_t>(got);
  return Moved::kYes;
}

TlsPipe::State::Moved TlsPipe::State::write_middle() {
  if (in.empty()) return Moved::kNo;
  const ssize_t sent = ::send(middle.get(), in.bytes.data() + in.at, in.end - in.at, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Moved::kNo;
  if (sent <= 0) return Moved::kEnd;
  in.at += static_cast<std::size_t>(sent);
  return Moved::kYes;
}

TlsPipe::State::Moved TlsPipe::State::tls_result(int count, short& wants) {
  if (count > 0) return Moved::kYes;
  const int error = ::SSL_get_error(ssl.get(), count);
  if (error == SSL_ERROR_WANT_READ) wants |= POLLIN;
  if (error == SSL_ERROR_WANT_WRITE) wants |= POLLOUT;
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Moved::kNo : Moved::kEnd;
}

// Until either side ends; what it had said before has been passed on.
void TlsPipe::State::pump() {
  while (true) {
    short wants = 0;
    Moved moved[4] = {read_middle(), Moved::kNo, Moved::kNo, Moved::kNo};
    if (!out.empty()) {
      const int sent = ::SSL_write(ssl.get(), out.bytes.data() + out.at, static_cast<int>(out.end - out.at));
      moved[1] = tls_result(sent, wants);
      if (sent > 0) out.at += static_cast<std::size_t>(sent);
    }
    if (in.empty()) {
      const int got = ::SSL_read(ssl.get(), in.bytes.data(), static_cast<int>(in.bytes.size()));
      moved[2] = tls_result(got, wants);
      in.at = 0;
      in.end = got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    moved[3] = write_middle();
    bool any = false;
    for (Moved one : moved) {
      if (one == Moved::kEnd) return;
      any |= one == Moved::kYes;
    }
    if (any) continue;
    pollfd both[2] = {{outer.get(), wants, 0}, {middle.get(), 0, 0}};
    if (out.empty()) both[1].events |= POLLIN;
    if (!in.empty()) both[1].events |= POLLOUT;
    if (::poll(both, 2, -1) < 0 && errno != EINTR) return;
  }
}

TlsPipe::TlsPipe(std::unique_ptr<State> state) : state_(std::move(state)) {}

TlsPipe::~TlsPipe() {
  ::shutdown(state_->middle.get(), SHUT_RDWR);
  if (thread_.joinable()) thread_.join();
}

Result<std::unique_ptr<TlsPipe>> TlsPipe::open(host::Fd socket, const std::string& place, const ConnectOptions& options,
                                               const Patience& patience) {
  KILN_ASSIGN_OR_RETURN(Context context, make_context(options));
  auto state = std::make_unique<State>();
  state->outer = std::move(socket);
  state->ssl.reset(::SSL_new(context.get()));
  if (!state->ssl) return engine_error("no TLS: " + tls_words());
  SSL* ssl = state->ssl.get();
  constexpr unsigned char kProtocols[] = {2, 'h', '2'};
  ::SSL_set_alpn_protos(ssl, kProtocols, sizeof kProtocols);
  expect_name(ssl, options.tls_server_name.empty() ? name_of(place) : options.tls_server_name);
  ::SSL_set_fd(ssl, state->outer.get());
  while (true) {
    const int done = ::SSL_connect(ssl);
    if (done == 1) break;
    short wants = 0;
    if (state->tls_result(done, wants) == State::Moved::kEnd) {
      const long verified = ::SSL_get_verify_result(ssl);
      return environment_error(
          Code::kUnavailable,
          fmt::format("no connection: TLS that does not fit: {}",
                      verified == X509_V_OK ? tls_words() : ::X509_verify_cert_error_string(verified)));
    }
    KILN_RETURN_IF_ERROR(await_socket(state->outer.get(), wants, patience));
  }
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return errno_error(errno, "socketpair");
  state->middle = host::Fd(pair[0]);
  std::unique_ptr<TlsPipe> pipe(new TlsPipe(std::move(state)));
  pipe->inner_ = host::Fd(pair[1]);
  pipe->thread_ = std::jthread([raw = pipe->state_.get()] {
    raw->pump();
    ::shutdown(raw->middle.get(), SHUT_RDWR);
    ::shutdown(raw->outer.get(), SHUT_RDWR);
  });
  return pipe;
}

}  // namespace kiln::client
