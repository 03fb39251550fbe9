#include <fmt/format.h>
#include <sys/file.h>

#include <mutex>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/id.h"
#include "base/text.h"
#include "client/internal/child.h"
#include "client/offers.h"
#include "host/fd.h"
#include "host/fs.h"
#include "registry/http.h"
#include "registry/token.h"

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
  if (auto decoded = base64_decode(text_of(entry, "auth")); decoded && !decoded->empty()) {
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
  DockerLogins(std::string dir, std::vector<RegistryTls> tls)
      : dir_(std::move(dir)),
        path_(dir_ + "/config.json"),
        tls_(std::move(tls)),
        http_(registry::make_curl_transport({.user_agent = "kiln"})) {}

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

  // The password stays here: the daemon gets only the token.
  Result<registry::Token> fetch_token(const registry::TokenRequest& request, std::stop_token stop) override {
    KILN_ASSIGN_OR_RETURN(registry::Login held, login(request.host));
    registry::TokenRequest wanted = request;
    if (wanted.client_id.empty()) wanted.client_id = "buildkit-client";
    return registry::trade_login(*http_, wanted, held, tls_for(request.host), stop);
  }

  // Kept beside docker's configuration, as other clients keep theirs.
  Result<std::string> token_seed(const std::string& host) override {
    std::lock_guard lock(mutex_);
    KILN_RETURN_IF_ERROR(host::make_dirs(dir_, 0755));
    Result<host::Fd> guard = host::open_file(dir_ + "/.token_seed.lock", O_RDWR | O_CREAT, 0600);
    if (guard.ok()) (void)flock(guard->get(), LOCK_EX);
    std::string file = dir_ + "/.token_seed";
    Json seeds = Json::parse(host::read_file(file, 16 << 20).value_or("{}"), nullptr, false);
    if (!seeds.is_object()) seeds = Json::object();
    if (auto known = seeds.find(host); known != seeds.end() && known->is_object()) {
      if (auto seed = base64_decode(text_of(*known, "Seed")); seed && !seed->empty()) return *seed;
    }
    std::string seed = random_bytes(16);
    seeds[host] = {{"Seed", base64_encode(seed)}};
    // A read-only home costs only that the next run has another seed.
    (void)host::replace_file(file, seeds.dump(2), 0600);
    return seed;
  }

 private:
  static Result<std::optional<registry::Login>> ask_helper(const std::string& helper, const std::string& key) {
    Result<Ran> ran = run_program({"docker-credential-" + helper, "get"}, key);
    if (!ran.ok()) return annotate(ran.status(), fmt::format("credential helper '{}'", helper));
    Json answer = Json::parse(ran->output, nullptr, false);
    if (ran->exit_status != 0 || !answer.is_object()) {
      if (ran->output.find("credentials not found") != std::string::npos) return std::optional<registry::Login>();
      return environment_error(Code::kUnavailable,
                               fmt::format("credential helper '{}' failed: {}", helper, trim(ran->output)));
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

  registry::Tls tls_for(const std::string& host) const {
    registry::Tls out;
    for (const RegistryTls& tls : tls_) {
      if (tls.host != host) continue;
      if (tls.insecure) out.verify = false;
      if (!tls.ca.empty()) out.ca_files.push_back(tls.ca);
      if (!tls.cert.empty() && !tls.key.empty()) out.keypairs.push_back({.key = tls.key, .cert = tls.cert});
    }
    return out;
  }

  std::string dir_;
  std::string path_;
  std::vector<RegistryTls> tls_;
  std::unique_ptr<registry::Transport> http_;
  std::mutex mutex_;
};

}  // namespace

std::shared_ptr<session::LoginSource> make_logins(const EnvironmentLookup& environment, std::vector<RegistryTls> tls) {
  std::string dir = environment("DOCKER_CONFIG").value_or("");
  if (dir.empty()) dir = environment("HOME").value_or("") + "/.docker";
  return std::make_shared<DockerLogins>(dir, std::move(tls));
}

}  // namespace kiln::client
