#include "sandbox/proxy/exchange.h"

#include "base/log.h"
#include "sandbox/proxy/address.h"
#include "sandbox/proxy/connection.h"
#include "sandbox/proxy/dial.h"
#include "sandbox/proxy/http_body.h"

namespace kiln::sandbox::proxy {
namespace {

// What became of a request; the connection goes on or not.
enum class After { kNext, kClose };

class Exchange {
 public:
  Exchange(host::Fd client, const ExchangeGround& ground)
      : ground_(ground), client_(std::move(client), ground.stopped) {}
  Status serve();

 private:
  Result<After> serve_one(HttpHead request);
  Status open_tunnel(const HttpHead& request);
  std::optional<Address> address_of(const HttpHead& request) const;
  // The address to fetch; nothing when that is forbidden.
  std::optional<Address> decide(const std::string& method, const Address& asked);
  Status connect(const Address& to);
  Result<HttpHead> send_on(HttpHead& request, const Address& to);
  Result<HttpHead> ask(HttpHead request, const Address& to);
  Result<After> answer(const HttpHead& request, const Address& to, HttpHead response);
  Status refuse(int status, std::string_view reason, std::string_view text);
  void tell_incomplete(const HttpHead& request, const Address& at, std::string reason) {
    if (ground_.capture) ground_.capture->add_incomplete({request.method, at.shown(), std::move(reason)});
  }
  void tell_request(const HttpHead& request, const Address& at, const std::string& redirect, int status) {
    if (ground_.capture) ground_.capture->add_request({request.method, at.shown(), redirect, status});
  }

  const ExchangeGround& ground_;
  Connection client_;
  std::optional<Address> tunnel_;  // the server that a CONNECT was for
  std::unique_ptr<Connection> server_;
  std::optional<Address> connected_;
};

Status Exchange::serve() {
  for (;;) {
    KILN_ASSIGN_OR_RETURN(const std::optional<std::string> text, client_.read_head());
    if (!text) return ok();
    Result<HttpHead> request = parse_head(*text, HttpKind::kRequest);
    if (!request.ok()) return refuse(400, "Bad Request", message_of(request.status()));
    if (request->method == "CONNECT" && !tunnel_) {
      KILN_RETURN_IF_ERROR(open_tunnel(*request));
      continue;
    }
    KILN_ASSIGN_OR_RETURN(const After after, serve_one(std::move(*request)));
    if (after == After::kClose) return ok();
  }
}

Status Exchange::open_tunnel(const HttpHead& request) {
  const auto where = parse_authority(request.target, 443);
  if (!where) return refuse(400, "Bad Request", "malformed CONNECT request");
  Result<std::shared_ptr<ssl_ctx_st>> context = ground_.authority->server_context(where->first);
  if (!context.ok()) return refuse(400, "Bad Request", message_of(context.status()));
  tunnel_ = Address{
      .scheme = "https", .user = "", .host = where->first, .port = where->second, .port_given = where->second != 443};
  KILN_RETURN_IF_ERROR(client_.write("HTTP/1.1 200 Connection Established\r\n\r\n"));
  return client_.start_tls_server(*context);
}

std::optional<Address> Exchange::address_of(const HttpHead& request) const {
  if (tunnel_) {
    Address out = *tunnel_;
    out.target = request.target;
    return request.target.starts_with('/') ? std::optional(out) : std::nullopt;
  }
  if (auto absolute = Address::parse(request.target)) return absolute;
  return Address::parse(fmt::format("http://{}{}", request.get("host").value_or(""), request.target));
}

std::optional<Address> Exchange::decide(const std::string& method, const Address& asked) {
  if (!ground_.decide) return asked;
  const Result<std::optional<std::string>> decided = ground_.decide(asked.shown(), ground_.stop);
  if (!decided.ok()) {
    log_debug("proxy: '{}' is refused: {}", asked.shown(), message_of(decided.status()));
    return std::nullopt;
  }
  if (!*decided) return asked;
  if (method != "GET") return std::nullopt;  // what is sent elsewhere would be somebody else's affair
  return Address::parse(**decided);
}

Status Exchange::refuse(int status, std::string_view reason, std::string_view text) {
  return client_.write(
      fmt::format("HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: "
                  "close\r\n\r\n{}\n",
                  status, reason, text.size() + 1, text));
}

Result<After> Exchange::serve_one(HttpHead request) {
  const std::optional<Address> asked = address_of(request);
  if (!asked) {
    KILN_RETURN_IF_ERROR(refuse(400, "Bad Request", "the address is neither http nor https"));
    return After::kClose;
  }
  const std::optional<Address> to = decide(request.method, *asked);
  if (!to) {
    KILN_RETURN_IF_ERROR(refuse(403, "Forbidden", "Forbidden"));
    return After::kClose;
  }
  Result<HttpHead> response = ask(request, *to);
  if (!response.ok()) {
    if (is_cancelled(response.status())) return response.status();
    tell_request(request, *to, "", 502);
    tell_incomplete(request, *to, "upstream_error");
    KILN_RETURN_IF_ERROR(refuse(502, "Bad Gateway", message_of(response.status())));
    return After::kClose;
  }
  return answer(request, *to, std::move(*response));
}

Status Exchange::connect(const Address& to) {
  KILN_ASSIGN_OR_RETURN(host::Fd socket, dial(to.host, to.port, ground_.egress_namespace, *ground_.stopped));
  server_ = std::make_unique<Connection>(std::move(socket), ground_.stopped);
  connected_ = to;
  return to.scheme == "https" ? server_->start_tls_client(to.host) : ok();
}

// The request with its body goes out; gives the head of the answer.
Result<HttpHead> Exchange::send_on(HttpHead& request, const Address& to) {
  KILN_ASSIGN_OR_RETURN(const BodyFrame frame, request_body(request));
  HttpHead out = request;
  out.remove_hop_fields();
  out.remove("Accept-Encoding");  // what is recorded is what the server has
  out.remove("Expect");
  out.minor = 1;
  out.target = to.target;
  out.set("Host", to.authority());
  if (frame.kind == BodyKind::kChunked) out.set("Transfer-Encoding", "chunked");
  if (request.has_word("expect", "100-continue")) KILN_RETURN_IF_ERROR(client_.write("HTTP/1.1 100 Continue\r\n\r\n"));
  KILN_RETURN_IF_ERROR(server_->write(out.text()));
  BodyReader from(client_, frame);
  BodyWriter into(*server_, frame.kind);
  for (;;) {
    KILN_ASSIGN_OR_RETURN(const std::string_view bytes, from.next());
    if (bytes.empty()) break;
    KILN_RETURN_IF_ERROR(into.write(bytes));
  }
  KILN_RETURN_IF_ERROR(into.finish());
  for (;;) {
    KILN_ASSIGN_OR_RETURN(const std::optional<std::string> text, server_->read_head());
    if (!text) return peer_error(Code::kUnavailable, "the server closed the connection");
    KILN_ASSIGN_OR_RETURN(HttpHead response, parse_head(*text, HttpKind::kResponse));
    if (response.status >= 200) return response;
  }
}

Result<HttpHead> Exchange::ask(HttpHead request, const Address& to) {
  const bool kept = server_ && connected_ && connected_->same_server(to);
  if (!kept) KILN_RETURN_IF_ERROR(connect(to));
  Result<HttpHead> response = send_on(request, to);
  KILN_ASSIGN_OR_RETURN(const BodyFrame frame, request_body(request));
  // A connection that was kept may have been closed meanwhile; what has no body can be asked again.
  if (response.ok() || !kept || frame.kind != BodyKind::kNone || is_cancelled(response.status())) return response;
  KILN_RETURN_IF_ERROR(connect(to));
  return send_on(request, to);
}

std::string why_incomplete(const HttpHead& request, const HttpHead& response, bool whole) {
  if (request.method != "GET") return "method_not_materializable";
  if (request.get("range") || response.status == 206) return "partial_response";
  if (!whole) return "body_read_failed";
  if (response.status >= 400) return "unsuccessful_response";
  return {};
}

Result<After> Exchange::answer(const HttpHead& request, const Address& to, HttpHead response) {
  KILN_ASSIGN_OR_RETURN(const BodyFrame frame, response_body(response, request.method));
  const bool server_stays =
      frame.kind != BodyKind::kUntilClose && response.minor == 1 && !response.has_word("connection", "close");
  bool client_stays =
      request.minor == 1 && !request.has_word("connection", "close") && !request.has_word("proxy-connection", "close");
  std::string redirect;
  if (const auto location = response.get("location")) {
    const auto target = to.resolve(*location);
    redirect = target ? target->shown() : std::string(*location);
  }
  tell_request(request, to, redirect, response.status);

  response.remove_hop_fields();
  response.minor = 1;
  BodyKind kind = frame.kind;
  if (kind == BodyKind::kChunked || kind == BodyKind::kUntilClose) {
    kind = request.minor == 1 ? BodyKind::kChunked : BodyKind::kUntilClose;
    response.remove("Content-Length");
  }
  if (kind == BodyKind::kChunked) response.set("Transfer-Encoding", "chunked");
  client_stays &= kind != BodyKind::kUntilClose;
  if (!client_stays) response.set("Connection", "close");
  KILN_RETURN_IF_ERROR(client_.write(response.text()));

  BodyReader from(*server_, frame);
  BodyWriter into(client_, kind);
  Hasher hasher;
  Status copied = ok();
  for (;;) {
    Result<std::string_view> bytes = from.next();
    copied = bytes.status();
    if (!bytes.ok() || bytes->empty()) break;
    hasher.update(*bytes);
    copied = into.write(*bytes);
    if (!copied.ok()) break;
  }
  if (copied.ok()) copied = into.finish();
  const std::string reason = why_incomplete(request, response, copied.ok());
  if (!reason.empty()) {
    tell_incomplete(request, to, reason);
  } else if (response.status < 300 && ground_.capture) {
    ground_.capture->add_material({to.shown(), hasher.finish()});
  }
  KILN_RETURN_IF_ERROR(copied);
  if (!server_stays) server_.reset();
  return client_stays ? After::kNext : After::kClose;
}

}  // namespace

void serve_connection(host::Fd client, const ExchangeGround& ground) {
  Exchange exchange(std::move(client), ground);
  if (Status ended = exchange.serve(); !ended.ok()) log_debug("proxy: {}", message_of(ended));
}

}  // namespace kiln::sandbox::proxy
