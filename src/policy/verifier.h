// A policy that the client itself decides: it is asked before each source is used, may want to know
// more about the source first, and may allow, deny with reasons or replace it.
//
//   KILN_ASSIGN_OR_RETURN(bool changed, ask_verifier(op, ask, resolve));
//
// Protocol: moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "graph/op.h"
#include "policy/source_policy.h"

namespace kiln::policy {

// Serialised CheckPolicyRequest → serialised CheckPolicyResponse.
using AskClient = std::function<Result<std::string>(const std::string& request)>;
// Serialised ResolveSourceMetaRequest of the gateway → serialised ResolveSourceMetaResponse.
using ResolveSource = std::function<Result<std::string>(const std::string& request)>;

// Type of the error detail that carries a denial's reasons: a serialised DecisionResponse.
inline constexpr std::string_view kDenialDetail = "github.com/moby/buildkit/policysession.DecisionResponse";

// Asks until there is a decision, at most ten times, and rewrites the op's source when told to; the
// rules have their say before each question. Gives whether the source was changed. Blocking as the
// functions are. PermissionDenied with the client's reasons as detail. Ops of other kinds pass.
Result<bool> ask_verifier(const SourcePolicy& rules, graph::Op& op, const AskClient& ask, const ResolveSource& resolve);

}  // namespace kiln::policy
