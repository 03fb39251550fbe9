#include "session/credentials.h"

#include <openssl/evp.h>

#include "base/digest.h"
#include "base/id.h"
#include "session/internal/call.h"
#include "wire/auth.pb.h"

namespace kiln::session {
namespace {

namespace proto = moby::filesync::v1;

constexpr auto kPatience = std::chrono::seconds(60);

// Asks one client after the other; those that offer no Auth count as having answered nothing.
Status ask(const SessionGroup& group, std::stop_token stop, bool unavailable_is_none, const char* method,
           const google::protobuf::MessageLite& question, google::protobuf::MessageLite& answer) {
  return group.any(stop, [&](Session& session) -> Status {
    Status status = internal::ask(session, method, {{}, kPatience, stop}, question, answer);
    if (status.code() == Code::kUnimplemented) return ok();
    if (unavailable_is_none && status.code() == Code::kUnavailable && !session.closed()) return ok();
    return status;
  });
}

// Unique to this process, so that keys mean nothing after a restart.
const std::string& salt() {
  static const std::string value = random_bytes(32);
  return value;
}

// What a signed answer carries: a signature of 64 bytes, then what was signed.
bool signed_by(const std::string& public_key, const std::string& answer, const std::string& payload) {
  if (public_key.size() != 32 || answer.size() != 64 + payload.size() || answer.substr(64) != payload) return false;
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(public_key.data()),
                                  public_key.size()),
      EVP_PKEY_free);
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return key && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(answer.data()), 64,
                          reinterpret_cast<const unsigned char*>(payload.data()), payload.size()) == 1;
}

class SessionCredentials final : public registry::Credentials {
 public:
  explicit SessionCredentials(SessionGroup group) : group_(std::move(group)) {}

  Result<std::string> identity(const std::string& host, std::stop_token stop) override {
    KILN_ASSIGN_OR_RETURN(std::string key, token_authority(group_, host, stop));
    if (!key.empty()) {
      // A key alone could be another's; only who can sign with it shares its tokens.
      KILN_ASSIGN_OR_RETURN(bool proved, verify_token_authority(group_, host, key, stop));
      if (proved) return "key:" + hex_encode(key);
    }
    KILN_ASSIGN_OR_RETURN(registry::Login login, this->login(host, stop));
    if (login.username.empty() && login.secret.empty()) return std::string();
    return "login:" + Digest::of(salt() + login.username + '\0' + login.secret).str();
  }

  Result<registry::Login> login(const std::string& host, std::stop_token stop) override {
    proto::CredentialsRequest request;
    proto::CredentialsResponse response;
    request.set_host(host);
    if (group_.ids().empty()) return registry::Login{};
    KILN_RETURN_IF_ERROR(ask(group_, stop, false, "/moby.filesync.v1.Auth/Credentials", request, response));
    return registry::Login{response.username(), response.secret()};
  }

  Result<std::optional<registry::Token>> fetch_token(const registry::TokenRequest& wanted,
                                                     std::stop_token stop) override {
    // A client that gives no key wants its login to be asked for.
    KILN_ASSIGN_OR_RETURN(std::string key, token_authority(group_, wanted.host, stop));
    if (key.empty()) return std::nullopt;
    proto::FetchTokenRequest request;
    proto::FetchTokenResponse response;
    request.set_clientid(wanted.client_id);
    request.set_host(wanted.host);
    request.set_realm(wanted.realm);
    request.set_service(wanted.service);
    for (const std::string& scope : wanted.scopes) request.add_scopes(scope);
    KILN_RETURN_IF_ERROR(ask(group_, stop, false, "/moby.filesync.v1.Auth/FetchToken", request, response));
    if (response.token().empty()) return std::nullopt;
    return registry::Token{response.token(), response.expiresin(), response.issuedat()};
  }

 private:
  SessionGroup group_;
};

}  // namespace

std::shared_ptr<registry::Credentials> session_credentials(SessionGroup group) {
  return std::make_shared<SessionCredentials>(std::move(group));
}

Result<std::string> token_authority(const SessionGroup& group, const std::string& host, std::stop_token stop) {
  if (group.ids().empty()) return std::string();
  proto::GetTokenAuthorityRequest request;
  proto::GetTokenAuthorityResponse response;
  request.set_host(host);
  request.set_salt(salt());
  KILN_RETURN_IF_ERROR(ask(group, stop, true, "/moby.filesync.v1.Auth/GetTokenAuthority", request, response));
  if (!response.publickey().empty() && response.publickey().size() != 32) {
    return peer_error(Code::kInvalidArgument, "the client's public key has not 32 bytes");
  }
  return response.publickey();
}

Result<bool> verify_token_authority(const SessionGroup& group, const std::string& host, const std::string& public_key,
                                    std::stop_token stop) {
  proto::VerifyTokenAuthorityRequest request;
  proto::VerifyTokenAuthorityResponse response;
  std::string payload = random_bytes(32);
  request.set_host(host);
  request.set_salt(salt());
  request.set_payload(payload);
  KILN_RETURN_IF_ERROR(ask(group, stop, true, "/moby.filesync.v1.Auth/VerifyTokenAuthority", request, response));
  return signed_by(public_key, response.signed_(), payload);
}

}  // namespace kiln::session
