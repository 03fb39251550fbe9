// The client's own source policy, asked before a source is used.
//
// Protocol: moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy. Requests and
// answers are passed as serialised messages, because they speak of graph and gateway types.
#pragma once

#include <stop_token>
#include <string>

#include "base/status.h"
#include "session/session.h"

namespace kiln::session {

// A serialised CheckPolicyResponse for a serialised CheckPolicyRequest, from the session of the id.
// Unimplemented when the client has no policy.
Result<std::string> check_policy(const SessionGroup& group, const std::string& session_id, const std::string& request,
                                 std::stop_token stop);

}  // namespace kiln::session
