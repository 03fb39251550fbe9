// The body of an HTTP/1 message, streamed: framing is taken off on the way in and put on again on the
// way out.
//
//   BodyReader in(server, frame);  BodyWriter out(client, BodyKind::kChunked);
//   for (;;) { KILN_ASSIGN_OR_RETURN(auto bytes, in.next()); if (bytes.empty()) break; out.write(bytes); }
//   out.finish();
#pragma once

#include <string_view>

#include "base/status.h"
#include "sandbox/proxy/connection.h"
#include "sandbox/proxy/http_head.h"

namespace kiln::sandbox::proxy {

// One thread at a time.
class BodyReader {
 public:
  BodyReader(Connection& from, BodyFrame frame) : from_(from), frame_(frame), left_(frame.length) {}
  // Empty at the end; Unavailable when the peer closed before it. Valid until the next call.
  Result<std::string_view> next();

 private:
  Status next_chunk();

  Connection& from_;
  const BodyFrame frame_;
  std::uint64_t left_;  // of the length, or of the chunk
  bool begun_ = false;
  bool ended_ = false;
};

// One thread at a time.
class BodyWriter {
 public:
  BodyWriter(Connection& to, BodyKind kind) : to_(to), kind_(kind) {}
  Status write(std::string_view bytes);
  Status finish();

 private:
  Connection& to_;
  const BodyKind kind_;
};

}  // namespace kiln::sandbox::proxy
