#include "session/internal/serve.h"

namespace kiln::session::internal {

Headers headers_of(const http2::ServedCall& call) { return {call.metadata().begin(), call.metadata().end()}; }

std::string header_of(const http2::ServedCall& call, std::string_view key) {
  return std::string(http2::field_of(call.metadata(), key).value_or(""));
}

bool read_question(http2::ServedCall& call, google::protobuf::MessageLite& question) {
  Pieces message;
  Status read = call.read(message) ? parse_message(message, question)
                                   : peer_error(Code::kInternal, "the call ended before its question");
  if (!read.ok()) call.finish(to_outcome(read));
  return read.ok();
}

bool write_message(http2::ServedCall& call, const google::protobuf::MessageLite& message) {
  return call.write({}, http2::owned(message.SerializeAsString()), http2::Flush::kLater);
}

}  // namespace kiln::session::internal
