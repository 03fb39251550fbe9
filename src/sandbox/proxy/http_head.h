// The head of an HTTP/1 message: start line and fields, read from bytes and written again. Bodies are
// the business of http_body.h.
//
//   KILN_ASSIGN_OR_RETURN(HttpHead head, parse_head("GET / HTTP/1.1\r\nHost: a\r\n\r\n", HttpKind::kRequest));
//
// Format: RFC 9112. Continuation lines and bare carriage returns are refused; names are compared
// without regard to case and written as they came.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace kiln::sandbox::proxy {

enum class HttpKind { kRequest, kResponse };

struct HttpHead {
  std::string method, target;  // of a request
  int status = 0;              // of a response
  std::string reason;
  int minor = 1;  // HTTP/1.minor
  std::vector<std::pair<std::string, std::string>> fields;

  // The first field of the name; nothing when there is none.
  std::optional<std::string_view> get(std::string_view name) const;
  void set(std::string_view name, std::string value);  // instead of all of that name
  void remove(std::string_view name);
  // Whether a comma-separated field has this word: has_word("connection", "close").
  bool has_word(std::string_view name, std::string_view word) const;
  // Takes away what speaks of the connection and not of the message.
  void remove_hop_fields();
  std::string text() const;  // with the empty line
};

// InvalidArgument for anything malformed.
Result<HttpHead> parse_head(std::string_view text, HttpKind kind);

// How the body of a message ends.
enum class BodyKind { kNone, kLength, kChunked, kUntilClose };
struct BodyFrame {
  BodyKind kind = BodyKind::kNone;
  std::uint64_t length = 0;
};
// InvalidArgument for lengths that contradict each other, or a request of unknown length.
Result<BodyFrame> request_body(const HttpHead& head);
Result<BodyFrame> response_body(const HttpHead& head, std::string_view method);

}  // namespace kiln::sandbox::proxy
