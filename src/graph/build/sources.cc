#include "graph/build/sources.h"

#include <fmt/format.h>

#include "base/git_url.h"
#include "base/gopath.h"
#include "base/json_text.h"
#include "base/reference.h"
#include "graph/attributes.h"
#include "graph/build/node.h"

namespace kiln::graph::build {
namespace {

using Attrs = std::map<std::string, std::string>;

bool platform_matters(std::string_view identifier) {
  return identifier.starts_with("docker-image://") || identifier.starts_with("oci-layout://");
}

class SourceNode final : public Node {
 public:
  SourceNode(std::string identifier, Attrs attrs, Constraints constraints, Status fault)
      : Node(std::move(constraints)),
        identifier_(std::move(identifier)),
        attrs_(std::move(attrs)),
        fault_(std::move(fault)) {}

  Result<Made> make(const Defaults& defaults, const InputOf&) const override {
    if (!fault_.ok()) return fault_;
    if (identifier_.empty()) return user_error(Code::kInvalidArgument, "source identifier can't be empty");
    Made made = start(defaults);
    SourceOp source{identifier_, attrs_};
    if (identifier_.starts_with("local://") && !attrs_.contains(kAttrLocalSession)) {
      source.attrs[kAttrLocalUnique] = defaults.local_id;
      made.metadata.caps[kCapSourceLocalUnique] = true;
    }
    if (!platform_matters(identifier_)) made.op.platform.reset();
    made.op.kind = std::move(source);
    return made;
  }

 private:
  std::string identifier_;
  Attrs attrs_;
  Status fault_;
};

State state_of(std::string identifier, Attrs attrs, Constraints constraints, Status fault = ok()) {
  Settings settings;
  if (constraints.platform) settings.platform = constraints.platform->normalized();
  auto node =
      std::make_shared<SourceNode>(std::move(identifier), std::move(attrs), std::move(constraints), std::move(fault));
  return State(Output{std::move(node), 0}, std::move(settings));
}

// Sets an attribute that is not empty, and notes the cap it needs.
void put(Attrs& attrs, Constraints& constraints, const char* key, const std::string& value, const char* cap) {
  if (value.empty()) return;
  attrs[key] = value;
  if (cap != nullptr) constraints.needs(cap);
}

std::string list_or_empty(const std::vector<std::string>& items) { return items.empty() ? "" : json_list(items); }

std::string git_identifier(const GitUrl& url, const GitOptions& options) {
  std::string id = url.host + join_path("/", url.path);
  if (options.ref.empty() && options.subdir.empty()) return id;
  id += "#" + options.ref;
  if (!options.subdir.empty()) id += ":" + options.subdir;
  return id;
}

}  // namespace

std::string_view resolve_mode_name(ResolveMode mode) {
  switch (mode) {
    case ResolveMode::kPull: return "pull";
    case ResolveMode::kLocal: return "local";
    default: return "default";
  }
}

State source(std::string identifier, std::map<std::string, std::string> attrs, const Constraints& constraints) {
  return state_of(std::move(identifier), std::move(attrs), constraints);
}

State image(std::string_view ref, const ImageOptions& options, const Constraints& given) {
  Constraints constraints = given;
  constraints.needs(kCapSourceImage);
  Attrs attrs;
  if (options.resolve_mode != ResolveMode::kDefault) {
    attrs[kAttrImageResolveMode] = std::string(resolve_mode_name(options.resolve_mode));
    if (options.resolve_mode == ResolveMode::kPull) constraints.needs(kCapSourceImageResolveMode);
  }
  if (options.internal) attrs[kAttrImageRecordType] = "internal";
  if (options.layer_limit) {
    put(attrs, constraints, kAttrImageLayerLimit, std::to_string(*options.layer_limit), kCapSourceImageLayerLimit);
  }
  put(attrs, constraints, kAttrImageChecksum, options.checksum.str(), kCapSourceImageChecksum);
  auto parsed = Reference::parse(ref);
  std::string name = parsed.ok() ? parsed->with_default_tag().str() : std::string(ref);
  return state_of("docker-image://" + name, std::move(attrs), std::move(constraints), parsed.status());
}

State oci_layout(std::string_view ref, const LayoutOptions& options, const Constraints& given) {
  Constraints constraints = given;
  constraints.needs(kCapSourceOciLayout);
  Attrs attrs;
  put(attrs, constraints, kAttrOciLayoutSession, options.session_id, nullptr);
  put(attrs, constraints, kAttrOciLayoutStore, options.store_id, nullptr);
  if (options.layer_limit) attrs[kAttrOciLayoutLayerLimit] = std::to_string(*options.layer_limit);
  return state_of("oci-layout://" + std::string(ref), std::move(attrs), std::move(constraints));
}

State local(std::string_view name, const LocalOptions& options, const Constraints& given) {
  Constraints constraints = given;
  constraints.needs(kCapSourceLocal);
  Attrs attrs;
  put(attrs, constraints, kAttrLocalSession, options.session_id, kCapSourceLocalSessionId);
  put(attrs, constraints, kAttrLocalIncludePatterns, list_or_empty(options.include_patterns),
      kCapSourceLocalIncludePatterns);
  put(attrs, constraints, kAttrLocalFollowPaths, list_or_empty(options.follow_paths), kCapSourceLocalFollowPaths);
  put(attrs, constraints, kAttrLocalExcludePatterns, list_or_empty(options.exclude_patterns),
      kCapSourceLocalExcludePatterns);
  put(attrs, constraints, kAttrLocalSharedKeyHint, options.shared_key_hint, kCapSourceLocalSharedKeyHint);
  put(attrs, constraints, kAttrLocalDiffer, options.differ, options.differ_required ? kCapSourceLocalDiffer : nullptr);
  if (options.metadata_only) {
    put(attrs, constraints, kAttrLocalMetadataTransfer, "true", kCapSourceMetadataTransfer);
    put(attrs, constraints, kAttrLocalMetadataTransferExclude, list_or_empty(options.metadata_exceptions), nullptr);
  }
  return state_of("local://" + std::string(name), std::move(attrs), std::move(constraints));
}

State git(std::string_view url, const GitOptions& options, const Constraints& given) {
  Constraints constraints = given;
  constraints.needs(kCapSourceGit);
  std::string full(url);
  auto parsed = parse_git_url(full);
  if (!parsed.ok() && message_of(parsed.status()).find("unknown protocol") != std::string_view::npos) {
    full = "https://" + full;
    parsed = parse_git_url(full);
  }
  if (parsed.ok()) full = parsed->remote;
  Attrs attrs;
  if (options.keep_git_dir) put(attrs, constraints, kAttrGitKeepDir, "true", kCapSourceGitKeepDir);
  put(attrs, constraints, kAttrGitFullUrl, full, kCapSourceGitFullUrl);
  const GitOptions usual;
  put(attrs, constraints, kAttrGitAuthTokenSecret, options.auth_token_secret,
      options.auth_token_secret != usual.auth_token_secret ? kCapSourceGitHttpAuth : nullptr);
  put(attrs, constraints, kAttrGitAuthHeaderSecret, options.auth_header_secret,
      options.auth_header_secret != usual.auth_header_secret ? kCapSourceGitHttpAuth : nullptr);
  if (parsed.ok() && parsed->scheme == "ssh") {
    constraints.needs(kCapSourceGitKnownSshHosts);
    put(attrs, constraints, kAttrGitKnownSshHosts, options.known_ssh_hosts, nullptr);
    put(attrs, constraints, kAttrGitMountSshSock, options.ssh_socket.empty() ? "default" : options.ssh_socket,
        kCapSourceGitMountSshSock);
  }
  put(attrs, constraints, kAttrGitChecksum, options.checksum, kCapSourceGitChecksum);
  if (options.skip_submodules) put(attrs, constraints, kAttrGitSkipSubmodules, "true", kCapSourceGitSkipSubmodules);
  put(attrs, constraints, kAttrGitMtime, options.mtime, kCapSourceGitMtime);
  if (options.fetch_by_commit) put(attrs, constraints, kAttrGitFetchByCommit, "true", kCapSourceGitFetchByCommit);
  // Unparsable addresses stay as they are; fetching them will tell.
  std::string id = parsed.ok() ? git_identifier(*parsed, options) : full;
  return state_of("git://" + id, std::move(attrs), std::move(constraints));
}

State http(std::string_view url, const HttpOptions& options, const Constraints& given) {
  Constraints constraints = given;
  constraints.needs(kCapSourceHttp);
  Attrs attrs;
  put(attrs, constraints, kAttrHttpChecksum, options.checksum.str(), kCapSourceHttpChecksum);
  put(attrs, constraints, kAttrHttpFilename, options.filename, nullptr);
  if (options.perm != 0) put(attrs, constraints, kAttrHttpPerm, fmt::format("0{:o}", options.perm), kCapSourceHttpPerm);
  if (options.uid != 0) put(attrs, constraints, kAttrHttpUid, std::to_string(options.uid), kCapSourceHttpUidGid);
  if (options.gid != 0) put(attrs, constraints, kAttrHttpGid, std::to_string(options.gid), kCapSourceHttpUidGid);
  put(attrs, constraints, kAttrHttpAuthHeaderSecret, options.auth_header_secret, kCapSourceHttpAuth);
  return state_of(std::string(url), std::move(attrs), std::move(constraints));
}

}  // namespace kiln::graph::build
