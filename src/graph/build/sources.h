// States that come from outside the graph: images, layouts, directories of the client, git, http.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "graph/build/state.h"

namespace kiln::graph::build {

enum class ResolveMode { kDefault, kPull, kLocal };
// "default", "pull", "local".
std::string_view resolve_mode_name(ResolveMode mode);

struct ImageOptions {
  ResolveMode resolve_mode = ResolveMode::kDefault;
  bool internal = false;  // recorded as an image of ours (frontends, scanners)
  std::optional<int> layer_limit;
  Digest checksum;
};
// `ref` familiar or full; marshal() fails when it is no reference.
State image(std::string_view ref, const ImageOptions& options = {}, const Constraints& constraints = {});

struct LayoutOptions {
  std::string session_id;
  std::string store_id;
  std::optional<int> layer_limit;
};
State oci_layout(std::string_view ref, const LayoutOptions& options, const Constraints& constraints = {});

struct LocalOptions {
  std::string session_id;
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  std::vector<std::string> follow_paths;
  std::string shared_key_hint;
  std::string differ;  // "", "none", "metadata"
  bool differ_required = false;
  bool metadata_only = false;
  std::vector<std::string> metadata_exceptions;
};
State local(std::string_view name, const LocalOptions& options = {}, const Constraints& constraints = {});

struct GitOptions {
  std::string ref;
  std::string subdir;
  bool keep_git_dir = false;
  std::string auth_token_secret = "GIT_AUTH_TOKEN";
  std::string auth_header_secret = "GIT_AUTH_HEADER";
  std::string known_ssh_hosts;
  std::string ssh_socket;  // "" = "default"
  std::string checksum;
  bool skip_submodules = false;
  std::string mtime;  // "", "checkout", "commit"
  bool fetch_by_commit = false;
};
// `url`: anything parse_git_url takes; without scheme https is assumed.
State git(std::string_view url, const GitOptions& options = {}, const Constraints& constraints = {});

struct HttpOptions {
  Digest checksum;
  std::string filename;
  int perm = 0;
  int uid = 0;
  int gid = 0;
  std::string auth_header_secret;
};
State http(std::string_view url, const HttpOptions& options = {}, const Constraints& constraints = {});

// Any identifier with ready attributes.
State source(std::string identifier, std::map<std::string, std::string> attrs, const Constraints& constraints = {});

}  // namespace kiln::graph::build
