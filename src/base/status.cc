#include "base/status.h"

#include <absl/strings/cord.h>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <system_error>

namespace kiln {
namespace {

constexpr std::string_view kFaultType = "kiln/fault";
constexpr std::string_view kErrnoType = "kiln/errno";

Code code_of_errno(int value) {
  switch (value) {
    case ENOENT: return Code::kNotFound;
    case EEXIST: return Code::kAlreadyExists;
    case EACCES:
    case EPERM: return Code::kPermissionDenied;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
    case EMFILE:
    case ENFILE: return Code::kResourceExhausted;
    case ECANCELED: return Code::kCancelled;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ELOOP: return Code::kFailedPrecondition;
    case ETIMEDOUT: return Code::kDeadlineExceeded;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE: return Code::kUnavailable;
    default: return Code::kInternal;
  }
}

}  // namespace

Status make_error(Fault fault, Code code, std::string_view message) {
  Status status(code, absl::string_view(message.data(), message.size()));
  set_detail(status, kFaultType, std::to_string(static_cast<int>(fault)));
  return status;
}

Status user_error(Code code, std::string_view message) { return make_error(Fault::kUser, code, message); }
Status environment_error(Code code, std::string_view message) { return make_error(Fault::kEnvironment, code, message); }
Status peer_error(Code code, std::string_view message) { return make_error(Fault::kPeer, code, message); }
Status engine_error(std::string_view message) { return make_error(Fault::kEngine, Code::kInternal, message); }

Status errno_error(int errno_value, std::string_view what) {
  Status status = make_error(Fault::kEnvironment, code_of_errno(errno_value),
                             fmt::format("{}: {}", what, std::generic_category().message(errno_value)));
  set_detail(status, kErrnoType, std::to_string(errno_value));
  return status;
}

std::optional<int> errno_of(const Status& status) {
  auto text = get_detail(status, kErrnoType);
  if (!text) return std::nullopt;
  int value = 0;
  std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

Status cancelled(std::string_view what) {
  return Status(Code::kCancelled, absl::string_view(what.data(), what.size()));
}
bool is_cancelled(const Status& status) { return status.code() == Code::kCancelled; }
bool is_not_found(const Status& status) { return status.code() == Code::kNotFound; }

Fault fault_of(const Status& status) {
  auto text = get_detail(status, kFaultType);
  if (!text || text->size() != 1) return Fault::kEngine;
  return static_cast<Fault>((*text)[0] - '0');
}

std::string_view message_of(const Status& status) { return {status.message().data(), status.message().size()}; }

Status annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  Status out(status.code(), fmt::format("{}: {}", context, message_of(status)));
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& bytes) { out.SetPayload(type, bytes); });
  return out;
}

void set_detail(Status& status, std::string_view type, std::string_view bytes) {
  status.SetPayload({type.data(), type.size()}, absl::Cord(absl::string_view(bytes.data(), bytes.size())));
}

std::optional<std::string> get_detail(const Status& status, std::string_view type) {
  auto cord = status.GetPayload({type.data(), type.size()});
  if (!cord) return std::nullopt;
  return std::string(*cord);
}

}  // namespace kiln
