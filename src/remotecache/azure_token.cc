#include "remotecache/azure_token.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/value.h"
#include "host/fs.h"
#include "remotecache/http_call.h"

namespace kiln::remotecache {
namespace {

using Json = nlohmann::json;

constexpr const char* kResource = "https://storage.azure.com/";
constexpr const char* kMachine = "http://169.254.169.254/metadata/identity/oauth2/token";

std::int64_t number_of(const Json& json, const char* key) {
  auto it = json.find(key);
  if (it == json.end()) return 0;
  if (it->is_number_integer()) return it->get<std::int64_t>();
  return it->is_string() ? parse_integer(it->get<std::string>()).value_or(0) : 0;
}

}  // namespace

std::optional<AzureToken::Token> AzureToken::read(std::string_view answer) const {
  const Json json = Json::parse(answer, nullptr, false);
  if (!json.is_object() || !json.contains("access_token") || !json["access_token"].is_string()) return std::nullopt;
  return Token{
      json["access_token"].get<std::string>(),
      services_.clock->now() + std::chrono::seconds(std::max<std::int64_t>(number_of(json, "expires_in"), 60))};
}

Result<std::string> AzureToken::get(std::stop_token stop) {
  std::lock_guard lock(mutex_);
  if (token_ && token_->expires > services_.clock->now() + std::chrono::minutes(5)) return token_->text;
  KILN_ASSIGN_OR_RETURN(token_, from_directory(stop));
  if (!token_) {
    KILN_ASSIGN_OR_RETURN(token_, from_machine(stop));
  }
  if (token_) return token_->text;
  return user_error(Code::kUnauthenticated,
                    "no Azure credentials: give secret_access_key, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
                    "AZURE_CLIENT_SECRET for the daemon");
}

Result<std::optional<AzureToken::Token>> AzureToken::from_directory(std::stop_token stop) {
  const std::string tenant = env("AZURE_TENANT_ID"), client = env("AZURE_CLIENT_ID");
  const std::string secret = env("AZURE_CLIENT_SECRET"), file = env("AZURE_FEDERATED_TOKEN_FILE");
  if (tenant.empty() || client.empty() || (secret.empty() && file.empty())) return std::nullopt;
  std::string authority =
      env("AZURE_AUTHORITY_HOST").empty() ? "https://login.microsoftonline.com" : env("AZURE_AUTHORITY_HOST");
  while (authority.ends_with('/')) authority.pop_back();
  HttpCall ask;
  ask.method = "POST";
  ask.url = fmt::format("{}/{}/oauth2/v2.0/token", authority, registry::url_encode(tenant));
  ask.headers.set("Content-Type", "application/x-www-form-urlencoded");
  ask.text = fmt::format("grant_type=client_credentials&client_id={}&scope={}", registry::url_encode(client),
                         registry::url_encode(std::string(kResource) + ".default"));
  if (!secret.empty()) {
    ask.text += "&client_secret=" + registry::url_encode(secret);
  } else {
    auto assertion = host::read_file(file);
    if (!assertion.ok()) return annotate(assertion.status(), "read '" + file + "'");
    ask.text +=
        "&client_assertion_type=" + registry::url_encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") +
        "&client_assertion=" + registry::url_encode(trim(*assertion));
  }
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, HttpCaller(*services_.http, {}).call(ask, stop));
  if (!answer.good()) return refused("ask for an Azure token", answer);
  return read(answer.body);
}

// Absent wherever there is no such service: most machines.
Result<std::optional<AzureToken::Token>> AzureToken::from_machine(std::stop_token stop) {
  const std::string endpoint = env("IDENTITY_ENDPOINT");
  registry::Request ask;
  ask.url = fmt::format("{}?api-version={}&resource={}", endpoint.empty() ? kMachine : endpoint,
                        endpoint.empty() ? "2018-02-01" : "2019-08-01", registry::url_encode(kResource));
  if (!env("AZURE_CLIENT_ID").empty()) ask.url += "&client_id=" + registry::url_encode(env("AZURE_CLIENT_ID"));
  if (endpoint.empty()) {
    ask.headers.set("Metadata", "true");
  } else {
    ask.headers.set("X-IDENTITY-HEADER", env("IDENTITY_HEADER"));
  }
  ask.connect_timeout = ask.idle_timeout = std::chrono::milliseconds(1000);
  auto response = services_.http->send(std::move(ask), stop);
  if (is_cancelled(response.status())) return response.status();
  if (!response.ok() || (*response)->status != 200) return std::nullopt;
  KILN_ASSIGN_OR_RETURN(std::string text, read_all(**response, 1 << 20));
  return read(text);
}

}  // namespace kiln::remotecache
