#include "policy/verifier.h"

#include "wire/gateway.pb.h"
#include "wire/policysession.pb.h"

namespace kiln::policy {
namespace {

namespace session = moby::buildkit::v1::sourcepolicy::policysession;
namespace spb = moby::buildkit::v1::sourcepolicy;

constexpr int kQuestionsMax = 10;

void put_source(const graph::SourceOp& from, pb::SourceOp& to) {
  to.set_identifier(from.identifier);
  for (const auto& [key, value] : from.attrs) (*to.mutable_attrs())[key] = value;
}

void put_platform(const Platform& from, pb::Platform& to) {
  to.set_os(from.os);
  to.set_architecture(from.architecture);
  to.set_variant(from.variant);
  to.set_osversion(from.os_version);
  for (const std::string& feature : from.os_features) to.add_osfeatures(feature);
}

std::map<std::string, std::string> attrs_of(const pb::SourceOp& source) {
  return {source.attrs().begin(), source.attrs().end()};
}

Status denied(const graph::SourceOp& source, const session::DecisionResponse& decision) {
  Status status =
      user_error(Code::kPermissionDenied, fmt::format("source \"{}\" not allowed by policy: action {}",
                                                      source.identifier, spb::PolicyAction_Name(decision.action())));
  if (decision.denymessages_size() == 0) return status;
  session::DecisionResponse reasons;
  reasons.set_action(spb::DENY);
  *reasons.mutable_denymessages() = decision.denymessages();
  set_detail(status, kDenialDetail, reasons.SerializeAsString());
  return status;
}

}  // namespace

Result<bool> ask_verifier(const SourcePolicy& rules, graph::Op& op, const AskClient& ask,
                          const ResolveSource& resolve) {
  auto* source = std::get_if<graph::SourceOp>(&op.kind);
  if (source == nullptr) return false;
  source->identifier = normalized_identifier(*source);
  KILN_ASSIGN_OR_RETURN(bool changed, rules.evaluate(*source));
  session::CheckPolicyRequest request;
  auto begin = [&] {
    request.Clear();
    if (op.platform) put_platform(*op.platform, *request.mutable_platform());
    put_source(*source, *request.mutable_source()->mutable_source());
  };
  begin();
  for (int questions = 0; questions < kQuestionsMax; ++questions) {
    KILN_ASSIGN_OR_RETURN(std::string answer_bytes, ask(request.SerializeAsString()));
    session::CheckPolicyResponse answer;
    if (!answer.ParseFromString(answer_bytes))
      return peer_error(Code::kFailedPrecondition, "the policy's answer does not parse");
    if (answer.has_request()) {
      const pb::SourceOp& wanted = answer.request().source();
      if (wanted.identifier() != source->identifier) {
        return peer_error(Code::kFailedPrecondition,
                          fmt::format("policy requested different source identifier: \"{}\" != \"{}\"",
                                      wanted.identifier(), source->identifier));
      }
      if (attrs_of(wanted) != source->attrs) {
        return peer_error(Code::kFailedPrecondition, "policy requested different source attrs");
      }
      Result<std::string> meta = resolve(answer.request().SerializeAsString());
      if (!meta.ok()) return annotate(meta.status(), "error resolving source metadata from policy request");
      if (!request.mutable_source()->ParseFromString(*meta)) return engine_error("source metadata does not parse");
      continue;
    }
    if (!answer.has_decision()) return peer_error(Code::kFailedPrecondition, "no decision in policy response");
    const session::DecisionResponse& decision = answer.decision();
    if (decision.action() == spb::ALLOW) return changed;
    if (decision.action() != spb::CONVERT) return denied(*source, decision);
    if (!decision.has_update()) return peer_error(Code::kFailedPrecondition, "convert action requires updated source");
    source->identifier = decision.update().identifier();
    source->attrs = attrs_of(decision.update());
    source->identifier = normalized_identifier(*source);
    KILN_RETURN_IF_ERROR(rules.evaluate(*source).status());
    changed = true;
    begin();
  }
  return user_error(Code::kFailedPrecondition, "too many policy requests");
}

}  // namespace kiln::policy
