// gRPC's calls on a stream: the end that answers.
//
//   auto connection = Connection::server([](std::shared_ptr<Stream> stream) {
//     start_thread([call = std::make_unique<ServedCall>(std::move(stream))] {
//       Pieces request;
//       if (call->read(request)) call->write(answer, {}, Flush::kLater);
//       call->finish({});
//     });
//   });
#pragma once

#include <memory>
#include <string>

#include "http2/call.h"

namespace kiln::http2 {

// Reading and writing may happen in two threads at once, cancel() in any; blocking.
class ServedCall {
 public:
  explicit ServedCall(std::shared_ptr<Stream> stream);
  // Breaks off what was not finished.
  ~ServedCall();
  ServedCall(const ServedCall&) = delete;
  ServedCall& operator=(const ServedCall&) = delete;

  const std::string& method() const { return method_; }
  // What came with the call, names in lower case, -bin fields decoded; without HTTP/2's own fields.
  const Fields& metadata() const { return metadata_; }
  const std::shared_ptr<Stream>& stream() const { return stream_; }

  // The next message, good until the next read; false at the end, and when the call broke.
  bool read(Pieces& message);
  // The same without waiting: kNothing when it has not come.
  MessageReader::Got read_at_hand(Pieces& message) { return reader_.read(message, kNoWait); }
  bool more_at_hand() const { return reader_.more_at_hand(); }
  // Whether the asking end said, before read() gave false, that this was all.
  bool complete() const;
  bool write(std::string_view head, const Bytes& body, Flush flush);
  // What begins an answer goes before the first message: at once, if flushed. Only the first time.
  void begin(const Fields& metadata = {});
  void cancel() { stream_->reset(kCancel); }
  // Ends the call. Once.
  void finish(const Outcome& outcome);

 private:
  std::shared_ptr<Stream> stream_;
  MessageReader reader_;
  std::string method_;
  Fields metadata_;
  bool finished_ = false;
};

}  // namespace kiln::http2
