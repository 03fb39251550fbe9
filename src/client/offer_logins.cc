#include <fmt/format.h>

#include <mutex>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "client/internal/child.h"
#include "client/offers.h"
#include "content/base64.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kHubKey = "https://index.docker.io/v1/";

std::string text_of(const Json& object, const char* key) {
  auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

// The host of a configuration key, which may be a URL.
std::string_view host_of(std::string_view key) {
  if (auto at = key.find("://"); at != std::string_view::npos) key.remove_prefix(at + 3);
  return split_once(key, '/').first;
}

registry::Login stored_login(const Json& entry) {
  registry::Login login{text_of(entry, "username"), text_of(entry, "password")};
  if (auto decoded = content::base64_decode(text_of(entry, "auth")); decoded && !decoded->empty()) {
    auto [user, password] = split_once(*decoded, ':');
    login.username = user;
    login.secret = password;
    while (login.secret.ends_with('\0')) login.secret.pop_back();
  }
  if (std::string token = text_of(entry, "identitytoken"); !token.empty()) return {"", token};
  return login;
}

class DockerLogins final : public session::LoginSource {
 public:
  explicit DockerLogins(std::string path) : path_(std::move(path)) {}

  Result<registry::Login> login(const std::string& host) override {
    std::lock_guard lock(mutex_);
    // Read anew: a helper or `docker login` may have changed it during the build.
    Result<std::string> text = host::read_file(path_, 16 << 20);
    if (!text.ok()) return is_not_found(text.status()) ? Result<registry::Login>(registry::Login{}) : text.status();
    Json config = Json::parse(*text, nullptr, false);
    if (!config.is_object()) return user_error(Code::kInvalidArgument, fmt::format("'{}' is not valid JSON", path_));
    bool hub = host == "docker.io" || host == "registry-1.docker.io" || host == "index.docker.io";
    std::string key = hub ? std::string(kHubKey) : host;
    std::string helper = text_of(config, "credsStore");
    if (auto helpers = config.find("credHelpers"); helpers != config.end() && helpers->is_object()) {
      for (const std::string& name : {key, host}) {
        if (std::string own = text_of(*helpers, name.c_str()); !own.empty()) helper = own;
      }
    }
    if (!helper.empty()) {
      KILN_ASSIGN_OR_RETURN(std::optional<registry::Login> found, ask_helper(helper, key));
      if (found) return *found;
    }
    return from_file(config, key, host);
  }

  Result<registry::Token> fetch_token(const registry::TokenRequest&, std::stop_token) override {
    return peer_error(Code::kUnimplemented, "this client hands over logins and fetches no tokens");
  }
  Result<std::string> token_seed(const std::string&) override {
    return peer_error(Code::kUnavailable, "this client fetches no tokens");
  }

 private:
  static Result<std::optional<registry::Login>> ask_helper(const std::string& helper, const std::string& key) {
    Result<Ran> ran = run_program({"docker-credential-" + helper, "get"}, key);
    if (!ran.ok()) return annotate(ran.status(), fmt::format("credential helper '{}'", helper));
    Json answer = Json::parse(ran->output, nullptr, false);
    if (ran->exit_status != 0 || !answer.is_object()) {
      if (ran->output.find("credentials not found") != std::string::npos) return std::optional<registry::Login>();
      return environment_error(Code::kUnavailable, fmt::format("credential helper '{}' failed: {}", helper, trim(ran->output)));
    }
    registry::Login login{text_of(answer, "Username"), text_of(answer, "Secret")};
    if (login.username == "<token>") login.username.clear();
    return std::optional(login);
  }

  static registry::Login from_file(const Json& config, const std::string& key, const std::string& host) {
    auto auths = config.find("auths");
    if (auths == config.end() || !auths->is_object()) return {};
    if (auto exact = auths->find(key); exact != auths->end() && exact->is_object()) return stored_login(*exact);
    for (const auto& [name, entry] : auths->items()) {
      if (entry.is_object() && host_of(name) == host) return stored_login(entry);
    }
    return {};
  }

  std::string path_;
  std::mutex mutex_;
};

}  // namespace

std::shared_ptr<session::LoginSource> make_logins(const EnvironmentLookup& environment, std::vector<RegistryTls>) {
  std::string dir = environment("DOCKER_CONFIG").value_or("");
  if (dir.empty()) dir = environment("HOME").value_or("") + "/.docker";
  return std::make_shared<DockerLogins>(dir + "/config.json");
}

}  // namespace kiln::client
