// gRPC's calls on a stream: the end that asks.
//
//   Outcome outcome = Call(connection, "/grpc.health.v1.Health/Check", {}).ask(request, answer);
//
//   Call call(connection, "/moby.filesync.v1.FileSync/DiffCopy", options);
//   while (call.read(pieces)) call.write(…);
//   Outcome outcome = call.finish();
//
// Format: gRPC over HTTP/2 (PROTOCOL-HTTP2.md): messages with five bytes before them, the outcome in the
// trailers, -bin fields in base64. Messages are never packed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http2/connection.h"
#include "http2/message_reader.h"

namespace kiln::http2 {

// How a call ended, in gRPC's terms.
struct Outcome {
  int code = 0;
  std::string message;
  std::string details;  // a serialised google.rpc.Status, or nothing
};
// What the end of a client's stream says.
Outcome outcome_of(const Stream& stream);

// A call's fields for a request: those of gRPC, then the metadata. Values may be any text; what is not
// printable ASCII is percent-encoded, and fields whose name no field may have are left out.
Fields request_fields(std::string_view method, const Fields& metadata, Ticks::duration timeout);

struct CallOptions {
  Fields metadata;
  Ticks::duration timeout{};  // zero: none; told to the other end and kept here
};

// The asking end. Reading and writing may happen in two threads at once, cancel() in any; blocking.
class Call {
 public:
  Call(Connection& connection, std::string_view method, const CallOptions& options);
  // Cancels what has not ended.
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // The next message, good until the next read; false at the end.
  bool read(Pieces& message);
  bool more_at_hand() const { return reader_.more_at_hand(); }
  // A message of two parts, of which the second is not copied if it has a keeper. False when the call is over.
  bool write(std::string_view head, const Bytes& body, Flush flush);
  void writes_done() { stream_->end(); }
  void cancel() { stream_->reset(kCancel); }
  // One question, one answer: the whole of a call.
  Outcome ask(std::string_view request, std::string& answer);
  // After the last read gave false; reads what is left.
  Outcome finish();

 private:
  std::shared_ptr<Stream> stream_;
  MessageReader reader_;
  Ticks::time_point until_;
  std::optional<Outcome> broken_;
};

}  // namespace kiln::http2
