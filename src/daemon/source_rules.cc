#include "daemon/source_rules.h"

#include <algorithm>

#include "daemon/bridge_messages.h"
#include "policy/verifier.h"
#include "session/policy_verifier.h"
#include "wire/gateway.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1::frontend;

// The verifier's question, its answer.
Result<std::string> answer(const std::string& question, const ResolveUnchecked& resolve) {
  api::ResolveSourceMetaRequest request;
  if (!request.ParseFromString(question))
    return peer_error(Code::kInvalidArgument, "the policy's question does not parse");
  graph::SourceOp source{.identifier = request.source().identifier(),
                         .attrs = {request.source().attrs().begin(), request.source().attrs().end()}};
  frontend::ResolveOptions options = from_message(request);
  KILN_ASSIGN_OR_RETURN(frontend::SourceMeta meta, resolve(source, options.platform, options));
  api::ResolveSourceMetaResponse response;
  to_message(meta, response);
  return response.SerializeAsString();
}

}  // namespace

Status SourceRules::add(const std::string& policy) {
  std::lock_guard guard(mutex_);
  if (std::find(added_.begin(), added_.end(), policy) != added_.end()) return ok();
  KILN_ASSIGN_OR_RETURN(policy::Policy parsed, policy::parse_policy(policy));
  added_.push_back(policy);
  rules_.insert(rules_.end(), parsed.rules.begin(), parsed.rules.end());
  policy::Policy all{.version = parsed.version, .rules = rules_};
  policy_ = std::make_shared<const policy::SourcePolicy>(std::vector<policy::Policy>{std::move(all)});
  return ok();
}

Result<bool> SourceRules::rewrite(graph::Op& op, const ResolveUnchecked& resolve, std::stop_token stop) const {
  auto* source = std::get_if<graph::SourceOp>(&op.kind);
  if (source == nullptr) return false;
  std::shared_ptr<const policy::SourcePolicy> rules;
  {
    std::lock_guard guard(mutex_);
    rules = policy_;
  }
  if (rules->empty() && verifier_session_.empty()) return false;
  const graph::SourceOp before = *source;
  Result<bool> changed = false;
  if (verifier_session_.empty()) {
    source->identifier = policy::normalized_identifier(*source);
    changed = rules->evaluate(*source);
  } else {
    auto ask = [&](const std::string& request) {
      return session::check_policy(sessions_, verifier_session_, request, stop);
    };
    auto explain = [&](const std::string& question) { return answer(question, resolve); };
    changed = policy::ask_verifier(*rules, op, ask, explain);
  }
  // Writing the identifier in its usual form is no change.
  if (!changed.ok() || !*changed) *source = before;
  return changed;
}

}  // namespace kiln::daemon
