#include "http2/served_call.h"

#include "http2/internal/fields.h"

namespace kiln::http2 {

ServedCall::ServedCall(std::shared_ptr<Stream> stream) : stream_(std::move(stream)), reader_(stream_) {
  for (auto& [name, value] : stream_->begin_fields().value_or(Fields())) {
    if (name == ":path") {
      method_ = std::move(value);
    } else if (name.ends_with("-bin")) {
      if (auto bytes = decode_binary(value)) metadata_.emplace_back(std::move(name), *std::move(bytes));
    } else if (!name.starts_with(':')) {
      metadata_.emplace_back(std::move(name), std::move(value));
    }
  }
}

ServedCall::~ServedCall() {
  if (!finished_) stream_->reset(kCancel);
}

bool ServedCall::read(Pieces& message) { return reader_.read(message, kForever) == MessageReader::Got::kMessage; }

bool ServedCall::complete() const { return stream_->ending().complete; }

bool ServedCall::write(std::string_view head, const Bytes& body, Flush flush) {
  begin();
  std::string first = message_head(head.size() + body.view.size());
  first += head;
  return stream_->write(first, body, flush);
}

void ServedCall::begin(const Fields& metadata) {
  Fields fields = {{":status", "200"}, {"content-type", "application/grpc"}};
  fields.insert(fields.end(), metadata.begin(), metadata.end());
  stream_->respond(fields);
}

void ServedCall::finish(const Outcome& outcome) {
  if (std::exchange(finished_, true)) return;
  begin();
  Fields trailers = {{"grpc-status", std::to_string(outcome.code)}};
  if (!outcome.message.empty()) trailers.emplace_back("grpc-message", encode_message(outcome.message));
  if (!outcome.details.empty()) trailers.emplace_back("grpc-status-details-bin", encode_binary(outcome.details));
  stream_->end(std::move(trailers));
}

}  // namespace kiln::http2
