// The small questions to a client: a secret, a policy.
#include <fmt/format.h>

#include "session/internal/call.h"
#include "session/policy_verifier.h"
#include "session/secrets.h"
#include "wire/policysession.pb.h"
#include "wire/secrets.pb.h"

namespace kiln::session {
namespace {

namespace secrets = moby::buildkit::secrets::v1;
namespace policy = moby::buildkit::v1::sourcepolicy::policysession;

class GroupSecrets final : public SecretAsker {
 public:
  explicit GroupSecrets(SessionGroup group) : group_(std::move(group)) {}

  Result<std::optional<std::string>> get_secret(const std::string& id, std::stop_token stop) override {
    std::optional<std::string> found;
    Status last = ok();
    bool anyone = false;
    Status asked = group_.any(stop, [&](Session& session) -> Status {
      anyone = true;
      secrets::GetSecretRequest request;
      secrets::GetSecretResponse response;
      request.set_id(id);
      Status status =
          internal::ask(session, "/moby.buildkit.secrets.v1.Secrets/GetSecret", {{}, {}, stop}, request, response);
      if (status.ok()) found = std::move(*response.mutable_data());
      // A client that does not know it is no failure, but the next one may.
      bool unknown = status.code() == Code::kNotFound || status.code() == Code::kUnimplemented;
      if (!status.ok() && !unknown) last = status;
      return status;
    });
    if (found) return found;
    if (is_cancelled(asked)) return asked;
    if (!anyone && !group_.ids().empty()) return asked;
    KILN_RETURN_IF_ERROR(annotate(last, fmt::format("secret {}", id)));
    return std::nullopt;
  }

 private:
  SessionGroup group_;
};

}  // namespace

std::unique_ptr<SecretAsker> secret_asker(SessionGroup group) {
  return std::make_unique<GroupSecrets>(std::move(group));
}

Result<std::string> check_policy(const SessionGroup& group, const std::string& session_id, const std::string& request,
                                 std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group.get(session_id, stop));
  policy::CheckPolicyRequest question;
  policy::CheckPolicyResponse answer;
  if (!question.ParseFromString(request)) return engine_error("a malformed question to the client's policy");
  constexpr const char* kMethod = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";
  KILN_RETURN_IF_ERROR(internal::ask(*session, kMethod, {{}, {}, stop}, question, answer));
  return answer.SerializeAsString();
}

}  // namespace kiln::session
