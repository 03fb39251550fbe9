#include "http2/call.h"

#include <fmt/format.h>

#include <charconv>

#include "base/text.h"
#include "http2/internal/fields.h"

namespace kiln::http2 {
namespace {

constexpr std::string_view kDetails = "grpc-status-details-bin";

// What gRPC's client ends make of HTTP/2's error codes, and of an HTTP status that is not gRPC's.
Code code_of_error(std::uint32_t error_code) {
  switch (error_code) {
    case kRefusedStream: return Code::kUnavailable;
    case kCancel: return Code::kCancelled;
    case kEnhanceYourCalm: return Code::kResourceExhausted;
    case 12: return Code::kPermissionDenied;  // INADEQUATE_SECURITY
    default: return Code::kInternal;
  }
}

Code code_of_http(std::string_view status) {
  if (status == "400") return Code::kInternal;
  if (status == "401") return Code::kUnauthenticated;
  if (status == "403") return Code::kPermissionDenied;
  if (status == "404") return Code::kUnimplemented;
  if (status == "429" || status == "502" || status == "503" || status == "504") return Code::kUnavailable;
  return Code::kUnknown;
}

Outcome outcome(Code code, std::string message) { return {static_cast<int>(code), std::move(message), {}}; }

// Nothing when these are not the fields that end a call.
std::optional<Outcome> outcome_in(const Fields& fields) {
  std::optional<std::string_view> text = field_of(fields, "grpc-status");
  if (!text) return std::nullopt;
  Outcome out;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out.code);
  if (error != std::errc() || end != text->data() + text->size() || out.code < 0 || out.code > 16) {
    out.code = static_cast<int>(Code::kUnknown);
  }
  out.message = decode_message(field_of(fields, "grpc-message").value_or(""));
  if (auto details = field_of(fields, kDetails)) out.details = decode_binary(*details).value_or("");
  return out;
}

std::string timeout_text(Ticks::duration timeout) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  return ms <= 99'999'999 ? fmt::format("{}m", ms) : fmt::format("{}S", std::min<long>(ms / 1000, 99'999'999));
}

}  // namespace

Outcome outcome_of(const Stream& stream) {
  const Ending ending = stream.ending();
  const Fields begin = stream.begin_fields().value_or(Fields());
  if (auto told = outcome_in(ending.trailers)) return *std::move(told);
  if (auto told = outcome_in(begin)) return *std::move(told);
  if (!ending.lost.ok()) return outcome(Code::kUnavailable, std::string(message_of(ending.lost)));
  if (std::string_view status = field_of(begin, ":status").value_or("200"); status != "200") {
    return outcome(code_of_http(status), fmt::format("unexpected HTTP status {}", status));
  }
  if (ending.complete) return outcome(Code::kInternal, "the other end gave no status");
  return outcome(code_of_error(ending.error_code),
                 fmt::format("the stream was reset, error code {}", ending.error_code));
}

Fields request_fields(std::string_view method, const Fields& metadata, Ticks::duration timeout) {
  Fields fields = {{":method", "POST"},         {":scheme", "http"}, {":path", std::string(method)},
                   {":authority", "localhost"}, {"te", "trailers"},  {"content-type", "application/grpc"},
                   {"user-agent", "kiln"}};
  if (timeout > Ticks::duration::zero()) fields.emplace_back("grpc-timeout", timeout_text(timeout));
  for (const auto& [raw_name, value] : metadata) {
    std::string name = to_lower(raw_name);
    if (!is_field_name(name)) continue;
    std::string text = name.ends_with("-bin") ? encode_binary(value) : field_value(value);
    fields.emplace_back(std::move(name), std::move(text));
  }
  return fields;
}

Call::Call(Connection& connection, std::string_view method, const CallOptions& options)
    : stream_(connection.open(request_fields(method, options.metadata, options.timeout))),
      reader_(stream_),
      until_(options.timeout > Ticks::duration::zero() ? Ticks::now() + options.timeout : kForever) {}

Call::~Call() { stream_->reset(kCancel); }

bool Call::read(Pieces& message) {
  if (broken_) return false;
  switch (reader_.read(message, until_)) {
    case MessageReader::Got::kMessage: return true;
    case MessageReader::Got::kEnd: return false;
    case MessageReader::Got::kNothing:
      broken_ = outcome(Code::kDeadlineExceeded, "context deadline exceeded");
      stream_->reset(kCancel);
      return false;
    case MessageReader::Got::kBroken: break;
  }
  broken_ = outcome_of(*stream_);
  if (broken_->code == 0 || stream_->ending().error_code == kProtocolError) {
    broken_ = outcome(Code::kInternal, "the other end sent what is no message of gRPC, or a too large one");
  }
  return false;
}

bool Call::write(std::string_view head, const Bytes& body, Flush flush) {
  std::string begin = message_head(head.size() + body.view.size());
  begin += head;
  return stream_->write(begin, body, flush);
}

Outcome Call::ask(std::string_view request, std::string& answer) {
  write(request, {}, Flush::kLater);
  writes_done();
  Pieces message;
  if (read(message)) answer = flat(message);
  return finish();
}

Outcome Call::finish() {
  Pieces ignored;
  while (read(ignored)) {
  }
  return broken_ ? *broken_ : outcome_of(*stream_);
}

}  // namespace kiln::http2
