#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>

#include "session/internal/serve.h"
#include "wire/auth.pb.h"

namespace kiln::session::internal {
namespace {

namespace proto = moby::filesync::v1;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// Proves to a daemon that two sessions hold the same login, without telling it: an Ed25519 key made
// of the daemon's salt and a secret of this machine; all anonymous logins share one.
class Auth {
 public:
  Auth(LoginSource& logins, std::stop_token stop) : logins_(logins), stop_(std::move(stop)) {}

  Status credentials(const proto::CredentialsRequest& request, proto::CredentialsResponse& response) {
    KILN_ASSIGN_OR_RETURN(registry::Login login, logins_.login(request.host()));
    response.set_username(login.username);
    response.set_secret(login.secret);
    return ok();
  }

  Status fetch_token(const proto::FetchTokenRequest& request, proto::FetchTokenResponse& response) {
    registry::TokenRequest wanted{request.clientid(), request.host(), request.realm(), request.service(), {}};
    wanted.scopes.assign(request.scopes().begin(), request.scopes().end());
    KILN_ASSIGN_OR_RETURN(registry::Token token, logins_.fetch_token(wanted, stop_));
    response.set_token(token.token);
    response.set_expiresin(token.expires_in_s > 0 ? token.expires_in_s : 60);
    response.set_issuedat(token.issued_at_s);
    return ok();
  }

  Status token_authority(const proto::GetTokenAuthorityRequest& request, proto::GetTokenAuthorityResponse& response) {
    KILN_ASSIGN_OR_RETURN(Key key, key_for(request.host(), request.salt()));
    unsigned char bytes[32];
    std::size_t size = sizeof bytes;
    if (EVP_PKEY_get_raw_public_key(key.get(), bytes, &size) != 1) return engine_error("no public key");
    response.set_publickey(bytes, size);
    return ok();
  }

  // The answer is the signature followed by what was signed.
  Status verify(const proto::VerifyTokenAuthorityRequest& request, proto::VerifyTokenAuthorityResponse& response) {
    KILN_ASSIGN_OR_RETURN(Key key, key_for(request.host(), request.salt()));
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    unsigned char signature[64];
    std::size_t size = sizeof signature;
    const std::string& payload = request.payload();
    bool made = EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
                EVP_DigestSign(context.get(), signature, &size, reinterpret_cast<const unsigned char*>(payload.data()),
                               payload.size()) == 1;
    if (!made) return engine_error("cannot sign");
    response.set_signed_(std::string(reinterpret_cast<char*>(signature), size) + payload);
    return ok();
  }

 private:
  Result<Key> key_for(const std::string& host, const std::string& salt) {
    std::string_view off = [] {
      const char* value = getenv("BUILDKIT_NO_CLIENT_TOKEN");
      return value ? value : "";
    }();
    if (off == "1" || off == "t" || off == "T" || off == "true" || off == "TRUE" || off == "True") {
      return user_error(Code::kUnavailable, "client side tokens disabled");
    }
    KILN_ASSIGN_OR_RETURN(registry::Login login, logins_.login(host));
    KILN_ASSIGN_OR_RETURN(std::string seed, logins_.token_seed(host));
    if (login.secret.empty()) seed.clear();
    unsigned char sum[32];
    unsigned int size = sizeof sum;
    HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), reinterpret_cast<const unsigned char*>(seed.data()),
         seed.size(), sum, &size);
    Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, sum, sizeof sum), EVP_PKEY_free);
    if (!key) return engine_error("cannot make a signing key");
    return key;
  }

  LoginSource& logins_;
  std::stop_token stop_;
};

template <typename Question, typename Reply>
Answer answer_by(const std::shared_ptr<Auth>& auth, Status (Auth::*method)(const Question&, Reply&)) {
  return answer_with<Question, Reply>([auth, method](http2::ServedCall&, const Question& question, Reply& reply) {
    return ((*auth).*method)(question, reply);
  });
}

}  // namespace

Served serve_auth(const Offers& offers, std::stop_token stop) {
  if (!offers.logins) return {};
  auto auth = std::make_shared<Auth>(*offers.logins, std::move(stop));
  return {{"/moby.filesync.v1.Auth/Credentials", answer_by(auth, &Auth::credentials)},
          {"/moby.filesync.v1.Auth/FetchToken", answer_by(auth, &Auth::fetch_token)},
          {"/moby.filesync.v1.Auth/GetTokenAuthority", answer_by(auth, &Auth::token_authority)},
          {"/moby.filesync.v1.Auth/VerifyTokenAuthority", answer_by(auth, &Auth::verify)}};
}

}  // namespace kiln::session::internal
