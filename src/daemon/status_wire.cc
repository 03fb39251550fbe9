#include "daemon/status_wire.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/support/status.h>

#include <cerrno>
#include <map>
#include <memory>

#include "base/text.h"
#include "base/utf8_text.h"
#include "base/value.h"
#include "daemon/detail_size.h"
#include "daemon/message_json.h"
#include "http2/call.h"
#include "wire/errdefs.pb.h"
#include "wire/gateway.pb.h"
#include "wire/policysession.pb.h"
#include "wire/rpc_status.pb.h"
#include "wire/stack.pb.h"

namespace kiln::daemon {
namespace {

namespace pbuf = google::protobuf;
constexpr std::string_view kJsonSuffix = "+json";

// The message that a known type stands for; null for others.
std::unique_ptr<pbuf::Message> make_message(std::string_view type) {
  if (type == kDetailVertex) return std::make_unique<errdefs::Vertex>();
  if (type == kDetailSource) return std::make_unique<errdefs::Source>();
  if (type == kDetailSolve) return std::make_unique<errdefs::Solve>();
  if (type == kDetailFrontend) return std::make_unique<errdefs::Frontend>();
  if (type == kDetailFrontendCap) return std::make_unique<errdefs::FrontendCap>();
  if (type == kDetailSubrequest) return std::make_unique<errdefs::Subrequest>();
  if (type == kDetailCompatibility) return std::make_unique<errdefs::CompatibilityFeature>();
  if (type == kDetailProvenance) return std::make_unique<errdefs::ProvenanceMaterialsIncomplete>();
  if (type == kDetailExit) return std::make_unique<moby::buildkit::v1::frontend::ExitMessage>();
  if (type == kDetailStack) return std::make_unique<stack::Stack>();
  if (type == kDetailPolicy) {
    return std::make_unique<moby::buildkit::v1::sourcepolicy::policysession::DecisionResponse>();
  }
  return nullptr;
}

void append_detail(std::string_view type, const std::string& bytes, google::rpc::Status& out) {
  if (std::unique_ptr<pbuf::Message> message = make_message(type)) {
    if (!message->ParseFromString(bytes)) return;
    pbuf::Any* any = out.add_details();
    any->set_type_url(std::string(type) + std::string(kJsonSuffix));
    any->set_value(to_json_text(*message, JsonStyle::kProto));
  } else if (type.find('/') != std::string_view::npos && !type.starts_with("kiln")) {
    pbuf::Any* any = out.add_details();
    any->set_type_url(std::string(type));
    any->set_value(bytes);
  }
}

Code wire_code(const Status& status) {
  switch (errno_of(status).value_or(0)) {
    case ENOMEM:
    case ENOSPC: return Code::kResourceExhausted;
    case EIO:
    case EFAULT:
    case ENOTRECOVERABLE:
    case EHWPOISON: return Code::kInternal;
    default: return status.code();
  }
}

}  // namespace

void add_detail(Status& status, std::string_view type, std::string_view bytes) {
  std::string name(type);
  for (int number = 2; get_detail(status, name); ++number) name = std::string(type) + "#" + std::to_string(number);
  set_detail(status, name, bytes);
}

void to_proto(const Status& status, google::rpc::Status& out) {
  out.set_code(static_cast<int>(wire_code(status)));
  out.set_message(to_valid_utf8(message_of(status)));
  // Payloads come in no order; a fixed one keeps records and tests stable. Of several of a type the last
  // added stands first: clients take the first for the outermost.
  std::map<std::string, std::map<std::int64_t, std::string, std::greater<>>> details;
  status.ForEachPayload([&](absl::string_view name, const absl::Cord& bytes) {
    const auto [type, number] = split_once(std::string_view(name.data(), name.size()), '#');
    details[std::string(type)][parse_integer(number).value_or(1)] = std::string(bytes);
  });
  for (const auto& [type, numbered] : details) {
    for (const auto& [number, bytes] : numbered) append_detail(type, bytes, out);
  }
}

Status from_proto(const google::rpc::Status& in) {
  if (in.code() == 0) return ok();
  Status status(static_cast<Code>(in.code()), in.message());
  for (int i = in.details_size() - 1; i >= 0; --i) {
    const pbuf::Any& any = in.details(i);
    std::string_view type = any.type_url();
    if (type.ends_with(kJsonSuffix)) {
      const std::string_view base = type.substr(0, type.size() - kJsonSuffix.size());
      if (std::unique_ptr<pbuf::Message> message = make_message(base)) {
        pbuf::util::JsonParseOptions options;
        options.ignore_unknown_fields = true;
        if (pbuf::util::JsonStringToMessage(any.value(), message.get(), options).ok()) {
          add_detail(status, base, message->SerializeAsString());
          continue;
        }
      }
    }
    add_detail(status, type, any.value());
  }
  return status;
}

std::string to_bytes(const Status& status) {
  google::rpc::Status message;
  to_proto(status, message);
  return message.SerializeAsString();
}

http2::Outcome to_outcome(const Status& status) {
  if (status.ok()) return {};
  google::rpc::Status message;
  to_proto(fit_on_the_wire(status), message);
  // Without details the trailer would only repeat code and message.
  std::string details = message.details_size() > 0 ? message.SerializeAsString() : std::string();
  return {message.code(), message.message(), std::move(details)};
}

grpc::Status to_grpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  http2::Outcome outcome = to_outcome(status);
  return grpc::Status(static_cast<grpc::StatusCode>(outcome.code), outcome.message, std::move(outcome.details));
}

Status without_code(const Status& status) {
  switch (wire_code(status)) {
    case Code::kOk:
    case Code::kCancelled:
    case Code::kDeadlineExceeded:
    case Code::kInternal:
    case Code::kResourceExhausted: return status;
    default: break;
  }
  if (get_detail(status, kDetailFrontendCap) || get_detail(status, kDetailCodeIsMeant)) return status;
  Status out(Code::kUnknown, status.message());
  status.ForEachPayload([&out](absl::string_view type, const absl::Cord& bytes) { out.SetPayload(type, bytes); });
  return out;
}

Status from_grpc(const grpc::Status& status) {
  if (status.ok()) return ok();
  google::rpc::Status message;
  if (!status.error_details().empty() && message.ParseFromString(status.error_details()) && message.code() != 0) {
    return from_proto(message);
  }
  return Status(static_cast<Code>(status.error_code()), status.error_message());
}

}  // namespace kiln::daemon
