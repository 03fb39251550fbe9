// HTTP from outside: the heads and bodies that a step's proxy reads from programs and servers, and the header values
// of registries and web servers that mean something to us. The bytes come over a socket, as they would.
#include <sys/socket.h>

#include "base/check.h"
#include "host/fd.h"
#include "host/wake.h"
#include "registry/auth.h"
#include "registry/http.h"
#include "sandbox/proxy/connection.h"
#include "sandbox/proxy/http_body.h"
#include "sandbox/proxy/http_head.h"
#include "source/http_source.h"

namespace {

using namespace kiln;
using namespace kiln::sandbox::proxy;

// The head that we would send on says the same as the one that came.
void check_head(std::string_view text, HttpKind kind) {
  auto head = parse_head(text, kind);
  if (!head.ok()) return;
  auto again = parse_head(head->text(), kind);
  KILN_CHECK(again.ok());
  KILN_CHECK(again->method == head->method && again->target == head->target);
  KILN_CHECK(again->status == head->status && again->fields == head->fields);
  head->remove_hop_fields();
  KILN_CHECK(!head->get("connection").has_value());
}

// All messages of a connection, to its end.
void read_messages(std::string_view bytes, HttpKind kind) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  host::Fd far(ends[0]);
  Connection near(host::Fd(ends[1]), std::make_shared<host::Wake>());
  if (::send(far.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < static_cast<ssize_t>(bytes.size()))
    return;
  ::shutdown(far.get(), SHUT_WR);
  while (true) {
    auto text = near.read_head();
    if (!text.ok() || !text->has_value()) return;
    auto head = parse_head(**text, kind);
    if (!head.ok()) return;
    auto frame = kind == HttpKind::kRequest ? request_body(*head) : response_body(*head, "GET");
    if (!frame.ok()) return;
    BodyReader body(near, *frame);
    std::size_t total = 0;
    for (auto piece = body.next(); piece.ok() && !piece->empty(); piece = body.next()) total += piece->size();
    KILN_CHECK(total <= bytes.size());
    if (frame->kind == BodyKind::kUntilClose) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (HttpKind kind : {HttpKind::kRequest, HttpKind::kResponse}) {
    check_head(text, kind);
    read_messages(text, kind);
  }
  registry::Headers headers;
  headers.set("WWW-Authenticate", text);
  (void)registry::parse_challenges(headers);
  (void)source::parse_http_time(text);
  return 0;
}
