#include "remotecache/aws_credentials.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "host/fs.h"
#include "remotecache/http_call.h"

namespace kiln::remotecache {
namespace {

using Json = nlohmann::json;

constexpr const char* kContainerHost = "http://169.254.170.2";
constexpr const char* kMachineHost = "http://169.254.169.254";

std::string text_of(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

// {"AccessKeyId": …, "SecretAccessKey": …, "Token": …, "Expiration": …}
std::optional<AwsCredentials> from_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  AwsCredentials out{text_of(json, "AccessKeyId"), text_of(json, "SecretAccessKey"), text_of(json, "Token"),
                     std::nullopt};
  if (auto end = parse_rfc3339(text_of(json, "Expiration")); end.ok()) out.expires = *end;
  if (out.access_key_id.empty() || out.secret_access_key.empty()) return std::nullopt;
  return out;
}

HttpCaller quick_caller(registry::Transport& http) { return {http, {.attempts_max = 2}}; }

Result<std::string> file_text(const std::string& path) {
  auto text = host::read_file(path);
  if (!text.ok()) return annotate(text.status(), "read '" + path + "'");
  return std::string(trim(*text));
}

std::optional<AwsCredentials> from_files(const std::function<std::string(const std::string&)>& env) {
  const std::string home = env("HOME");
  const std::string profile = env("AWS_PROFILE").empty() ? "default" : env("AWS_PROFILE");
  for (const auto& [variable, usual] :
       {std::pair("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"), std::pair("AWS_CONFIG_FILE", "/.aws/config")}) {
    const std::string path = env(variable).empty() ? home + usual : env(variable);
    auto text = host::read_file(path);
    if (!text.ok()) continue;
    if (auto keys = read_aws_profile(*text, profile)) return keys;
  }
  return std::nullopt;
}

}  // namespace

std::optional<AwsCredentials> read_aws_profile(std::string_view text, std::string_view profile) {
  AwsCredentials out;
  bool mine = false;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      std::string_view name = trim(line.substr(1, line.find(']') - 1));
      if (name.starts_with("profile ")) name = trim(name.substr(8));
      mine = name == profile;
      continue;
    }
    if (!mine) continue;
    const auto [key, value] = split_once(line, '=');
    const std::string name = to_lower(trim(key));
    if (name == "aws_access_key_id") out.access_key_id = trim(value);
    if (name == "aws_secret_access_key") out.secret_access_key = trim(value);
    if (name == "aws_session_token") out.session_token = trim(value);
  }
  if (out.access_key_id.empty() || out.secret_access_key.empty()) return std::nullopt;
  return out;
}

Result<AwsCredentials> AwsIdentity::get(std::stop_token stop) {
  if (given_) return *given_;
  std::lock_guard lock(mutex_);
  const Time soon = services_.clock->now() + std::chrono::minutes(5);
  if (found_ && (!found_->expires || *found_->expires > soon)) return *found_;
  KILN_ASSIGN_OR_RETURN(found_, find(stop));
  return *found_;
}

Result<AwsCredentials> AwsIdentity::find(std::stop_token stop) {
  if (!env("AWS_ACCESS_KEY_ID").empty() && !env("AWS_SECRET_ACCESS_KEY").empty()) {
    return AwsCredentials{env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN"),
                          std::nullopt};
  }
  KILN_ASSIGN_OR_RETURN(auto web, from_web_identity(stop));
  if (web) return *web;
  if (auto files = from_files([this](const std::string& name) { return env(name); })) return *files;
  KILN_ASSIGN_OR_RETURN(auto container, from_container(stop));
  if (container) return *container;
  KILN_ASSIGN_OR_RETURN(auto machine, from_machine(stop));
  if (machine) return *machine;
  return user_error(Code::kUnauthenticated,
                    "no AWS credentials: give access_key_id and secret_access_key, or set AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY for the daemon");
}

Result<std::optional<AwsCredentials>> AwsIdentity::from_web_identity(std::stop_token stop) {
  const std::string file = env("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (file.empty() || env("AWS_ROLE_ARN").empty()) return std::nullopt;
  KILN_ASSIGN_OR_RETURN(std::string token, file_text(file));
  const std::string session = env("AWS_ROLE_SESSION_NAME").empty() ? "buildkit" : env("AWS_ROLE_SESSION_NAME");
  HttpCall ask;
  ask.method = "POST";
  ask.url = env("AWS_ENDPOINT_URL_STS").empty() ? fmt::format("https://sts.{}.amazonaws.com/", region_)
                                                : env("AWS_ENDPOINT_URL_STS");
  ask.headers.set("Content-Type", "application/x-www-form-urlencoded");
  ask.text = fmt::format(
      "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
      registry::url_encode(env("AWS_ROLE_ARN")), registry::url_encode(session), registry::url_encode(token));
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, quick_caller(*services_.http).call(ask, stop));
  if (!answer.good()) return refused("assume role '" + env("AWS_ROLE_ARN") + "'", answer);
  AwsCredentials out{xml_text(answer.body, "AccessKeyId"), xml_text(answer.body, "SecretAccessKey"),
                     xml_text(answer.body, "SessionToken"), std::nullopt};
  if (auto end = parse_rfc3339(xml_text(answer.body, "Expiration")); end.ok()) out.expires = *end;
  if (out.access_key_id.empty()) return peer_error(Code::kUnknown, "the answer of STS holds no keys");
  return out;
}

Result<std::optional<AwsCredentials>> AwsIdentity::from_container(std::stop_token stop) {
  HttpCall ask;
  ask.url = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (const std::string path = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); !path.empty())
    ask.url = kContainerHost + path;
  if (ask.url.empty()) return std::nullopt;
  std::string token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
    KILN_ASSIGN_OR_RETURN(token, file_text(file));
  }
  if (!token.empty()) ask.headers.set("Authorization", token);
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, quick_caller(*services_.http).call(ask, stop));
  if (!answer.good()) return refused("ask the container for AWS credentials", answer);
  return from_json(answer.body);
}

// Absent wherever there is no such service: most machines.
Result<std::optional<AwsCredentials>> AwsIdentity::from_machine(std::stop_token stop) {
  if (to_lower(env("AWS_EC2_METADATA_DISABLED")) == "true") return std::nullopt;
  const std::string given = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  const std::string base = given.empty() ? kMachineHost : given.substr(0, given.find_last_not_of('/') + 1);
  registry::Request token_request;
  token_request.method = "PUT";
  token_request.url = base + "/latest/api/token";
  token_request.headers.set("X-aws-ec2-metadata-token-ttl-seconds", "300");
  token_request.connect_timeout = token_request.idle_timeout = std::chrono::milliseconds(1000);
  auto token_response = services_.http->send(std::move(token_request), stop);
  if (is_cancelled(token_response.status())) return token_response.status();
  if (!token_response.ok() || (*token_response)->status != 200) return std::nullopt;
  KILN_ASSIGN_OR_RETURN(std::string token, read_all(**token_response, 1 << 16));
  const std::string path = base + "/latest/meta-data/iam/security-credentials/";
  HttpCall ask{.url = path, .headers = {{"X-aws-ec2-metadata-token", token}}};
  KILN_ASSIGN_OR_RETURN(HttpAnswer role, quick_caller(*services_.http).call(ask, stop));
  if (!role.good()) return std::nullopt;
  ask.url += std::string(trim(role.body));
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, quick_caller(*services_.http).call(ask, stop));
  if (!answer.good()) return std::nullopt;
  return from_json(answer.body);
}

}  // namespace kiln::remotecache
