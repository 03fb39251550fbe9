// kiln::Status on the wire and back: the gRPC code and message, and typed details as BuildKit's Go
// programs encode them, so that their errors.As finds them.
//
//   reactor->Finish(to_grpc(status));
//   Status status = from_grpc(grpc_status);
//
// A detail is a payload of the Status under a type of this header, holding the serialised message;
// on the wire it is an Any of type "<type>+json" whose value is the message as JSON, within
// google.rpc.Status in the trailer grpc-status-details-bin. Payloads under types that are not known
// here but look like type URLs pass through unchanged both ways. Our own payloads (fault, errno)
// stay inside.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace grpc {
class Status;
}
namespace google::rpc {
class Status;
}
namespace kiln::http2 {
struct Outcome;
}

namespace kiln::daemon {

// Types for set_detail()/get_detail(); values are serialised messages of that name.
inline constexpr std::string_view kDetailVertex = "github.com/moby/buildkit/errdefs.Vertex";
inline constexpr std::string_view kDetailSource = "github.com/moby/buildkit/errdefs.Source";
inline constexpr std::string_view kDetailSolve = "github.com/moby/buildkit/errdefs.Solve";
inline constexpr std::string_view kDetailFrontend = "github.com/moby/buildkit/errdefs.Frontend";
inline constexpr std::string_view kDetailFrontendCap = "github.com/moby/buildkit/errdefs.FrontendCap";
inline constexpr std::string_view kDetailSubrequest = "github.com/moby/buildkit/errdefs.Subrequest";
inline constexpr std::string_view kDetailCompatibility = "github.com/moby/buildkit/errdefs.CompatibilityFeature";
inline constexpr std::string_view kDetailProvenance = "github.com/moby/buildkit/errdefs.ProvenanceMaterialsIncomplete";
inline constexpr std::string_view kDetailExit = "github.com/moby/buildkit/gatewayapi.ExitMessage";
inline constexpr std::string_view kDetailStack = "github.com/moby/buildkit/stack.Stack";
inline constexpr std::string_view kDetailPolicy = "github.com/moby/buildkit/policysession.DecisionResponse";

// Sets a detail that may occur several times (a source range for each nested frontend): the first
// goes under `type`, further ones under numbered types that the wire sends as the same type.
void add_detail(Status& status, std::string_view type, std::string_view bytes);

// Code mapping: an error caused by a failing machine (EIO, ENOMEM, ENOSPC, …) is Internal or
// ResourceExhausted whatever its code; everything else keeps its code.
grpc::Status to_grpc(const Status& status);
http2::Outcome to_outcome(const Status& status);
// A failed build as BuildKit tells it: without a code, which Go's clients would write in front of the message, unless
// the machine failed, the build was cancelled, a capability is missing, or a frontend gave the code.
inline constexpr std::string_view kDetailCodeIsMeant = "kiln.code_is_meant";
Status without_code(const Status& status);
Status from_grpc(const grpc::Status& status);

void to_proto(const Status& status, google::rpc::Status& out);
Status from_proto(const google::rpc::Status& in);
// The serialised google.rpc.Status, as records keep it.
std::string to_bytes(const Status& status);

}  // namespace kiln::daemon
