// Names of git repositories as builds write them: URLs, scp-like addresses, fragments, query keys.
//
//   KILN_ASSIGN_OR_RETURN(GitUrl url, parse_git_url("git@host:org/repo.git#main:dir"));
//   auto ref = parse_git_reference("https://host/repo.git?tag=v1&subdir=x");   //
//   optional<Result<…>>
//
// Pure text work, for the Dockerfile frontend (contexts, ADD), the git source and policy.
// Reference: git-fetch(1), section GIT URLS; BuildKit's fragment `#ref:subdir` and query keys.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln {

// Any git remote: scheme http, https, ssh or git, or scp-like `[user@]host:path` (scheme ssh).
struct GitUrl {
  std::string scheme;
  std::string host;  // with port
  std::string path;  // decoded; "/org/repo.git", scp-like without the slash unless written
  std::string user;  // user name, decoded; empty when none
  std::optional<std::string> password;
  std::map<std::string, std::vector<std::string>> query;
  std::string ref;     // of the fragment
  std::string subdir;  // of the fragment; clean and relative
  std::string remote;  // what git itself takes: no fragment, no query
};
// InvalidArgument "invalid protocol" for other schemes, "unknown protocol" when it is no git
// remote.
Result<GitUrl> parse_git_url(std::string_view text);
// Whether git would take it as a remote, judged by its beginning.
bool is_git_transport(std::string_view text);

// What a Dockerfile or a client means by a git address.
struct GitReference {
  std::string remote;      // for git; without scheme when indistinguishable from a local path
  std::string short_name;  // "repo" of ".../repo.git"
  std::string ref;
  std::string checksum;  // a commit
  std::string subdir;
  bool looks_local = false;  // "github.com/org/repo": contexts only, deprecated
  bool unencrypted = false;  // http:// or git://
  std::optional<bool> keep_git_dir;
  std::optional<bool> submodules;
  std::string mtime;  // "", "checkout", "commit"
  bool fetch_by_commit = false;
};
// Nothing when the text is no git address (a path, an http URL that does not end in .git); an error
// when it is one but its query keys are wrong or conflict.
std::optional<Result<GitReference>> parse_git_reference(std::string_view text);

// "remote#ref:subdir" of a git address; the text unchanged when it is none.
enum class GitSubdir { kKeep, kDrop };
std::string git_fragment_form(std::string_view text, GitSubdir subdir);

}  // namespace kiln
