// Errors as values. Every fallible function of Kiln returns Status or Result<T>; nothing throws
// across a room.
//
//   Result<Blob> blob = store.open(digest);
//   if (!blob.ok()) return annotate(blob.status(), "read layer");
//   KILN_ASSIGN_OR_RETURN(auto manifest, parse_manifest(text));
//   return user_error(Code::kInvalidArgument, "unknown flag '--foo'; run 'kiln build --help'");
//
// A Status answers three questions: whose fault (Fault payload), what (gRPC code, and a typed
// payload where a program must act), what now (one sentence with names in quotes). The codes are
// those of gRPC, so a status crosses the wire unchanged. This header is a leaf.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>

namespace kiln {

using Status = absl::Status;
template <typename T>
using Result = absl::StatusOr<T>;
using Code = absl::StatusCode;

inline Status ok() { return absl::OkStatus(); }

// Who has to act: the author of the request, the machine, the other end of a connection, or us.
enum class Fault { kUser, kEnvironment, kPeer, kEngine };

// Makes an error of the given code with its fault recorded. `message` is one sentence that a user
// can act on.
Status make_error(Fault fault, Code code, std::string_view message);
Status user_error(Code code, std::string_view message);
Status environment_error(Code code, std::string_view message);
Status peer_error(Code code, std::string_view message);
Status engine_error(std::string_view message);  // Code::kInternal

// From errno: "open '/x': No such file or directory". Codes: ENOENT→NotFound, EEXIST→AlreadyExists,
// EACCES/EPERM→PermissionDenied, ENOSPC/ENOMEM/EDQUOT→ResourceExhausted, ECANCELED→Cancelled,
// EINVAL/ENOTDIR/EISDIR/ELOOP→FailedPrecondition, others→Internal. The errno travels as payload.
Status errno_error(int errno_value, std::string_view what);
// The errno that errno_error recorded, if any.
std::optional<int> errno_of(const Status& status);

Status cancelled(std::string_view what = "canceled");
bool is_cancelled(const Status& status);
bool is_not_found(const Status& status);

// The sentence, as std::string_view (absl has a view type of its own).
std::string_view message_of(const Status& status);

// The recorded fault; kEngine when none was recorded.
Fault fault_of(const Status& status);

// Same code and payloads, message "context: message". Added once, when an error leaves a room.
Status annotate(const Status& status, std::string_view context);

// Typed details. `type` is a URL-like name; the wire layer turns known ones into BuildKit's error
// details. Setting a type twice replaces it.
void set_detail(Status& status, std::string_view type, std::string_view bytes);
std::optional<std::string> get_detail(const Status& status, std::string_view type);

}  // namespace kiln

#define KILN_CONCAT_INNER_(a, b) a##b
#define KILN_CONCAT_(a, b) KILN_CONCAT_INNER_(a, b)

// Returns from the enclosing function when `expr` (a Status) is an error.
#define KILN_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                 \
    if (::kiln::Status kiln_status_ = (expr); !kiln_status_.ok()) return kiln_status_; \
  } while (false)

// KILN_ASSIGN_OR_RETURN(auto x, f()): unwraps a Result or returns its error.
#define KILN_ASSIGN_OR_RETURN(lhs, expr) KILN_ASSIGN_OR_RETURN_IMPL_(KILN_CONCAT_(kiln_result_, __LINE__), lhs, expr)
#define KILN_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return std::move(tmp).status();    \
  lhs = std::move(tmp).value()
