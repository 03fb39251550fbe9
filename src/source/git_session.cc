#include "source/git_session.h"

#include <unistd.h>

#include "base/base64.h"
#include "base/text.h"
#include "host/fd.h"
#include "registry/http.h"
#include "session/secrets.h"

namespace kiln::source {
namespace {

// A login for one remote; GitHub's counts for all of GitHub, so that its submodules can be had.
std::string login_scope(const std::string& remote) {
  for (const char* prefix : {"https://github.com/", "https://www.github.com/"}) {
    if (remote.starts_with(prefix)) return prefix;
  }
  return remote;
}

// The Authorization header the client has for the remote; nothing when it has none.
Result<std::optional<std::string>> login_header(const GitWish& wish, const Asker& asker) {
  Result<registry::Url> url = registry::parse_url(wish.remote);
  std::vector<std::pair<std::string, bool>> names;  // secret, whether it is a token
  for (bool own_host : {true, false}) {
    if (own_host && !url.ok()) continue;
    std::string suffix = own_host ? "." + url->authority() : std::string();
    if (!wish.auth_header_secret.empty()) names.emplace_back(wish.auth_header_secret + suffix, false);
    if (!wish.auth_token_secret.empty()) names.emplace_back(wish.auth_token_secret + suffix, true);
  }
  if (names.empty()) return std::optional<std::string>();
  auto secrets = session::secret_asker(asker.sessions);
  for (const auto& [name, token] : names) {
    Result<std::optional<std::string>> value = secrets->get_secret(name, asker.stop);
    if (is_cancelled(value.status())) return value.status();
    if (!value.ok() || !*value) continue;  // logins are optional
    if (!token) return std::optional<std::string>(**value);
    return std::optional<std::string>("basic " + base64_encode("x-access-token:" + **value));
  }
  return std::optional<std::string>();
}

}  // namespace

Result<GitSession> GitSession::open(const GitWish& wish, const Asker& asker) {
  GitSession session;
  KILN_ASSIGN_OR_RETURN(session.git, GitCommand::find());
  KILN_ASSIGN_OR_RETURN(std::optional<std::string> header, login_header(wish, asker));
  if (header) {
    session.git.config.emplace_back("http." + login_scope(wish.remote) + ".extraheader", "Authorization: " + *header);
  }
  if (!wish.ssh_id.empty()) {
    auto agents = session::ssh_asker(asker.sessions);
    Status status = agents->check(wish.ssh_id, asker.stop);
    KILN_RETURN_IF_ERROR(status);
    session::SshSocketOptions options{.id = wish.ssh_id, .uid = ::getuid(), .gid = ::getgid(), .mode = 0700};
    KILN_ASSIGN_OR_RETURN(session.agent, agents->forward(options, asker.stop));
    session.git.ssh_auth_sock = session.agent->path();
  }
  if (!wish.known_hosts.empty()) {
    KILN_ASSIGN_OR_RETURN(session.files, host::TempDir::make("kiln-git-"));
    session.git.known_hosts = session.files->path() + "/known_hosts";
    KILN_RETURN_IF_ERROR(host::write_file(session.git.known_hosts, wish.known_hosts, 0600));
  }
  return session;
}

}  // namespace kiln::source
