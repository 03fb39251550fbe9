#include "source/git.h"

#include <algorithm>

#include "base/git_url.h"
#include "base/text.h"
#include "graph/attributes.h"
#include "source/git_bundle.h"
#include "source/git_repository.h"
#include "source/git_session.h"
#include "source/signature.h"

namespace kiln::source {
namespace {

bool all_hex(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::string without_prefix(std::string_view text, std::string_view prefix) {
  return std::string(text.starts_with(prefix) ? text.substr(prefix.size()) : text);
}

Status wrong_checksum(const GitWish& wish, std::string_view got) {
  return user_error(Code::kFailedPrecondition,
                    fmt::format("expected checksum to match {}, got {}", wish.checksum, got));
}

// ls-remote's lines as a map from ref to object.
std::map<std::string, std::string> parse_refs(const std::string& text, std::string* head_ref) {
  std::map<std::string, std::string> out;
  for (std::string_view line : split(text, '\n')) {
    auto [object, ref] = split_once(line, '\t');
    if (object.starts_with("ref: ")) {
      if (ref == "HEAD" && head_ref != nullptr) *head_ref = std::string(object.substr(5));
    } else if (!ref.empty()) {
      out[std::string(ref)] = std::string(object);
    }
  }
  return out;
}

// Which of the refs a short name means: the name itself below refs/, a branch, then a tag.
Result<GitTip> choose(const GitWish& wish, const std::string& ref, const std::map<std::string, std::string>& refs) {
  auto find = [&](const std::string& name) {
    auto found = refs.find(name);
    return found == refs.end() ? std::string() : found->second;
  };
  std::string partial = "refs/" + without_prefix(ref, "refs/");
  std::string branch = "refs/heads/" + without_prefix(ref, "refs/heads/");
  std::string tag = "refs/tags/" + without_prefix(ref, "refs/tags/");
  GitTip tip;
  std::string behind_tag;
  if (tip.object = find(partial); !tip.object.empty()) {
    tip.ref = partial;
    if (partial == tag) behind_tag = find(tag + "^{}");
  } else if (tip.object = find(branch); !tip.object.empty()) {
    tip.ref = branch;
  } else if (tip.object = find(tag); !tip.object.empty()) {
    tip.ref = tag;
    behind_tag = find(tag + "^{}");
  } else {
    return user_error(Code::kNotFound, fmt::format("repository does not contain ref {}", ref));
  }
  if (!is_commit_sha(tip.object))
    return peer_error(Code::kFailedPrecondition, fmt::format("invalid commit sha \"{}\"", tip.object));
  if (!wish.checksum.empty() && !tip.object.starts_with(wish.checksum) && !behind_tag.starts_with(wish.checksum)) {
    return wrong_checksum(wish, behind_tag.empty() ? tip.object : tip.object + " or " + behind_tag);
  }
  // Without a kept .git the tag itself does not matter, and more builds share the key.
  if (!wish.keep_git_dir) tip.commit = behind_tag;
  return tip;
}

class GitFetch final : public Fetch {
 public:
  GitFetch(std::shared_ptr<GitSource> source, GitWish wish) : source_(std::move(source)), wish_(std::move(wish)) {}

  Result<Key> key(int, const Asker& asker) override {
    if (!tip_) {
      if (!wish_.ref.empty() && !is_commit_sha(wish_.ref)) KILN_RETURN_IF_ERROR(source_->stage(wish_, asker));
      KILN_ASSIGN_OR_RETURN(GitTip tip, source_->resolve(wish_, asker));
      if (wish_.signature) KILN_RETURN_IF_ERROR(source_->verify(wish_, tip, asker));
      tip_ = std::move(tip);
    }
    return Key{.text = git_key(wish_, *tip_), .last = true, .pin = tip_->object};
  }

  Result<store::TreeRef> tree(const Asker& asker) override {
    KILN_ASSIGN_OR_RETURN(Key resolved, key(0, asker));
    return source_->checkout(wish_, *tip_, resolved.text, asker);
  }

 private:
  std::shared_ptr<GitSource> source_;
  GitWish wish_;
  std::optional<GitTip> tip_;
};

}  // namespace

Result<NamedLocks::Held> NamedLocks::take(const std::string& name, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return !taken_.contains(name); })) return cancelled();
  taken_.insert(name);
  return Held(this, name);
}

void NamedLocks::give_back(const std::string& name) {
  {
    std::lock_guard guard(mutex_);
    taken_.erase(name);
  }
  changed_.notify_all();
}

Result<GitWish> read_git_wish(const graph::SourceOp& op) {
  KILN_ASSIGN_OR_RETURN(auto parts, split_identifier(op.identifier));
  std::string address(parts.second);
  if (!is_git_transport(address)) address = "https://" + address;
  KILN_ASSIGN_OR_RETURN(GitUrl url, parse_git_url(address));
  GitWish wish{.remote = url.remote, .ref = url.ref, .checksum = {}, .subdir = url.subdir};
  for (const auto& [name, value] : op.attrs) {
    bool yes = value == "true";
    if (name == graph::kAttrGitKeepDir) wish.keep_git_dir = yes;
    if (name == graph::kAttrGitFullUrl) wish.remote = is_git_transport(value) ? value : "https://" + value;
    if (name == graph::kAttrGitAuthHeaderSecret) wish.auth_header_secret = value;
    if (name == graph::kAttrGitAuthTokenSecret) wish.auth_token_secret = value;
    if (name == graph::kAttrGitKnownSshHosts) wish.known_hosts = value;
    if (name == graph::kAttrGitMountSshSock) wish.ssh_id = value;
    if (name == graph::kAttrGitChecksum) wish.checksum = value;
    if (name == graph::kAttrGitSkipSubmodules) wish.skip_submodules = yes;
    if (name == graph::kAttrGitMtime) wish.mtime = value;
    if (name == graph::kAttrGitFetchByCommit) wish.fetch_by_commit = yes;
    if (name == graph::kAttrGitBundle) wish.bundle = value;
    if (name == graph::kAttrGitCheckoutBundle) wish.checkout_bundle = yes;
    if (name == graph::kAttrOciLayoutSession) wish.bundle_session = value;
    if (name == graph::kAttrOciLayoutStore) wish.bundle_store = value;
    if (name.starts_with("git.sig.") && !wish.signature) wish.signature.emplace();
    if (name == graph::kAttrGitSigPubKey) wish.signature->keys = value;
    if (name == graph::kAttrGitSigRejectExpired) wish.signature->reject_expired = yes;
    if (name == graph::kAttrGitSigRequireSignedTag) wish.signature->require_signed_tag = yes;
    if (name == graph::kAttrGitSigIgnoreSignedTag) wish.signature->ignore_signed_tag = yes;
  }
  if (wish.ref.starts_with('-'))
    return user_error(Code::kInvalidArgument, fmt::format("invalid git ref \"{}\"", wish.ref));
  if (!wish.checksum.empty() && !all_hex(wish.checksum)) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid checksum {} for Git URL, expected hex commit hash", wish.checksum));
  }
  KILN_RETURN_IF_ERROR(check_bundle_wish(wish));
  return wish;
}

std::string git_key(const GitWish& wish, const GitTip& tip) {
  bool by_commit = is_commit_sha(tip.ref);
  std::string key = by_commit ? tip.ref : (tip.commit.empty() ? tip.object : tip.commit);
  if (wish.keep_git_dir) {
    key += ".git";
    if (!tip.ref.empty()) key += "#" + tip.ref;
  }
  if (!wish.subdir.empty()) key += ":" + wish.subdir;
  if (wish.skip_submodules) key += "(skip-submodules)";
  if (!wish.mtime.empty() && wish.mtime != "checkout") key += "(mtime=" + wish.mtime + ")";
  if (wish.checkout_bundle) key += "(bundle)";
  return key;
}

Result<std::unique_ptr<Fetch>> GitSource::open(const graph::SourceOp& op, const std::optional<Platform>&) {
  KILN_ASSIGN_OR_RETURN(GitWish wish, read_git_wish(op));
  return std::unique_ptr<Fetch>(std::make_unique<GitFetch>(shared_from_this(), std::move(wish)));
}

Result<GitTip> GitSource::resolve(const GitWish& wish, const Asker& asker) {
  if (is_commit_sha(wish.ref)) {
    if (!wish.ref.starts_with(wish.checksum)) return wrong_checksum(wish, wish.ref);
    return GitTip{.ref = wish.ref, .object = wish.ref, .commit = {}};
  }
  if (wish.fetch_by_commit) {
    if (wish.checksum.empty()) {
      return user_error(Code::kInvalidArgument, "fetch-by-commit requires a checksum or a commit SHA ref");
    }
    if (!is_commit_sha(wish.checksum)) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("fetch-by-commit requires a full commit SHA checksum, got \"{}\"", wish.checksum));
    }
    std::string ref = wish.ref.empty() ? wish.checksum : wish.ref;
    if (!wish.ref.empty() && !ref.starts_with("refs/")) ref = "refs/heads/" + ref;
    return GitTip{.ref = ref, .object = wish.checksum, .commit = {}};
  }
  if (!wish.bundle.empty()) {
    if (wish.ref.empty()) return GitTip{.ref = wish.checksum, .object = wish.checksum, .commit = {}};
    GitWish staged = wish;
    KILN_RETURN_IF_ERROR(stage(staged, asker));
    return ask_remote(staged, asker);
  }
  std::string key = fmt::format("{}#{}#{}#{}", wish.remote, wish.ref, wish.checksum, wish.keep_git_dir);
  if (auto seen = seen_.find(asker.sessions, key)) return *std::move(seen);
  Result<GitTip> tip = resolving_.run(key, asker.stop, [&] { return ask_remote(wish, asker); });
  if (tip.ok()) seen_.keep(asker, key, *tip);
  return tip;
}

Result<GitTip> GitSource::ask_remote(const GitWish& wish, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(GitSession session, GitSession::open(wish, asker));
  const std::string url = wish.staged ? wish.staged->url() : wish.remote;
  std::string name = redact_url(wish.remote);
  if (wish.ref.empty()) {
    Result<std::string> text = session.git.run({"ls-remote", "--symref", "--", url, "HEAD"}, asker);
    if (!text.ok()) return annotate(text.status(), "error fetching default branch for repository " + name);
    std::string branch;
    std::map<std::string, std::string> refs = parse_refs(*text, &branch);
    if (!branch.starts_with("refs/heads/") || !refs.contains("HEAD")) {
      return user_error(Code::kFailedPrecondition, "could not find default branch for repository: " + name);
    }
    return choose(wish, branch, {{branch, refs["HEAD"]}});
  }
  Result<std::string> text = session.git.run({"ls-remote", "--", url, wish.ref, wish.ref + "^{}"}, asker);
  if (!text.ok()) return annotate(text.status(), "failed to fetch remote " + name);
  return choose(wish, wish.ref, parse_refs(*text, nullptr));
}

Status GitSource::stage(GitWish& wish, const Asker& asker) {
  if (wish.bundle.empty() || wish.staged) return ok();
  KILN_ASSIGN_OR_RETURN(wish.staged, GitBundle::stage(options_.open_blob, wish, asker));
  return ok();
}

Result<store::TreeRef> GitSource::checkout(const GitWish& wish, const GitTip& tip, const std::string& key,
                                           const Asker& asker) {
  std::string index = "git-snapshot::" + key + ":" + wish.subdir;
  return checking_out_.run(index, asker.stop, [&]() -> Result<store::TreeRef> {
    store::Trees& trees = *options_.trees;
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> held, trees.find_by_index(index));
    for (const std::string& id : held) {
      KILN_ASSIGN_OR_RETURN(auto tree, trees.find(id));
      if (tree) return *tree;
    }
    KILN_ASSIGN_OR_RETURN(NamedLocks::Held lock, repositories_.take(wish.remote, asker.stop));
    GitWish staged = wish;
    KILN_RETURN_IF_ERROR(stage(staged, asker));
    KILN_ASSIGN_OR_RETURN(GitSession session, GitSession::open(wish, asker));
    KILN_ASSIGN_OR_RETURN(GitRepository repository, GitRepository::fetch(trees, session, staged, tip, asker));
    KILN_ASSIGN_OR_RETURN(store::TreeRef tree, repository.checkout(trees, wish, tip, asker));
    KILN_RETURN_IF_ERROR(trees.set_attribute(tree, "git-snapshot", index, index));
    return tree;
  });
}

Result<GitMeta> GitSource::meta(const graph::SourceOp& op, const MetaOptions& options, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(GitWish wish, read_git_wish(op));
  if (options.git_object || wish.signature) KILN_RETURN_IF_ERROR(stage(wish, asker));
  KILN_ASSIGN_OR_RETURN(GitTip tip, resolve(wish, asker));
  if (wish.signature) KILN_RETURN_IF_ERROR(verify(wish, tip, asker));
  if (options.git_object) return objects(wish, tip, asker);
  return GitMeta{
      .checksum = tip.object, .ref = tip.ref, .commit_checksum = tip.commit, .commit_object = {}, .tag_object = {}};
}

Status GitSource::verify(const GitWish& wish, const GitTip& tip, const Asker& asker) {
  const GitWish::Signature& wanted = *wish.signature;
  const ExpiredKeys expired = wanted.reject_expired ? ExpiredKeys::kReject : ExpiredKeys::kAllow;
  KILN_ASSIGN_OR_RETURN(GitMeta found, objects(wish, tip, asker));
  Status tag = user_error(Code::kPermissionDenied, "signed tag required but no signed tag found");
  if (!wanted.ignore_signed_tag && !found.tag_object.empty()) {
    tag = verify_git_object(found.tag_object, wanted.keys, expired, asker.stop);
    if (tag.ok() || is_cancelled(tag)) return tag;
  }
  if (wanted.require_signed_tag) return tag;
  return verify_git_object(found.commit_object, wanted.keys, expired, asker.stop);
}

// The commit and, when the tip is one, the tag, as git stores them.
Result<GitMeta> GitSource::objects(const GitWish& wish, const GitTip& tip, const Asker& asker) {
  GitMeta meta{
      .checksum = tip.object, .ref = tip.ref, .commit_checksum = tip.commit, .commit_object = {}, .tag_object = {}};
  KILN_ASSIGN_OR_RETURN(NamedLocks::Held lock, repositories_.take(wish.remote, asker.stop));
  KILN_ASSIGN_OR_RETURN(GitSession session, GitSession::open(wish, asker));
  KILN_ASSIGN_OR_RETURN(GitRepository repository, GitRepository::fetch(*options_.trees, session, wish, tip, asker));
  KILN_ASSIGN_OR_RETURN(std::string kind,
                        repository.git().run({"cat-file", "-t", tip.object}, asker, GitCommand::Logged::kNo));
  std::string commit = tip.object;
  meta.commit_checksum.clear();
  if (trim(kind) == "tag") {
    KILN_ASSIGN_OR_RETURN(
        commit, repository.git().run({"rev-parse", tip.object + "^{commit}"}, asker, GitCommand::Logged::kNo));
    commit = std::string(trim(commit));
    meta.commit_checksum = commit;
    KILN_ASSIGN_OR_RETURN(meta.tag_object,
                          repository.git().run({"cat-file", "tag", tip.object}, asker, GitCommand::Logged::kNo));
  }
  KILN_ASSIGN_OR_RETURN(meta.commit_object,
                        repository.git().run({"cat-file", "commit", commit}, asker, GitCommand::Logged::kNo));
  return meta;
}

}  // namespace kiln::source
