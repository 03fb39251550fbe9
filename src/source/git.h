// Git repositories as sources: git://, with the real remote in an attribute. A bare repository a
// remote is kept as a long-lived tree and fetched into, as shallow as can be; a checkout is a tree of
// its own, found again by commit.
//
//   sources.add(std::make_shared<GitSource>(GitSourceOptions{.trees = &trees}));
//
// Needs the git program, for signatures also gpgv and ssh-keygen. A bundle that a blob holds may stand
// in for the remote: git_bundle.h.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "source/build_memory.h"
#include "source/flight.h"
#include "source/image.h"
#include "source/meta.h"
#include "source/source.h"
#include "store/trees.h"

namespace kiln::source {

class GitBundle;

// The bytes of a blob of a registry or of a layout.
using OpenBlob = std::function<Result<std::unique_ptr<ByteSource>>(const ImagePlace& place, const Asker& asker)>;

struct GitSourceOptions {
  store::Trees* trees = nullptr;  // outlives the source
  OpenBlob open_blob;             // for bundles; null: there are none
};

// What is wanted of a repository. A value.
struct GitWish {
  std::string remote;
  std::string ref;       // branch, tag, "refs/…", commit, or empty for the default branch
  std::string checksum;  // beginning of a commit's name
  std::string subdir;
  std::string auth_header_secret;
  std::string auth_token_secret;
  std::string ssh_id;
  std::string known_hosts;
  std::string mtime;  // "", "checkout", "commit"
  bool keep_git_dir = false;
  bool skip_submodules = false;
  bool fetch_by_commit = false;
  std::string bundle;          // locator of the blob that stands in for the remote
  std::string bundle_session;  // of a client's layout
  std::string bundle_store;
  bool checkout_bundle = false;             // the tree is a file "bundle" instead of the files
  std::shared_ptr<const GitBundle> staged;  // the bundle, once it was fetched
  struct Signature {
    std::string keys;
    bool reject_expired = false;
    bool require_signed_tag = false;
    bool ignore_signed_tag = false;
  };
  std::optional<Signature> signature;  // must hold for the tag or the commit
};

// What a ref names at the remote right now.
struct GitTip {
  std::string ref;     // "refs/heads/main", or the commit when that was asked for
  std::string object;  // commit or annotated tag
  std::string commit;  // the commit behind an annotated tag; empty otherwise
};

// One holder at a time for each name. Any thread.
class NamedLocks {
 public:
  class Held {
   public:
    Held() = default;
    Held(NamedLocks* locks, std::string name) : locks_(locks), name_(std::move(name)) {}
    Held(Held&& other) noexcept : locks_(std::exchange(other.locks_, nullptr)), name_(std::move(other.name_)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_ != nullptr) locks_->give_back(name_);
    }

   private:
    NamedLocks* locks_ = nullptr;
    std::string name_;
  };
  // Cancelled when stopped meanwhile.
  Result<Held> take(const std::string& name, std::stop_token stop);

 private:
  void give_back(const std::string& name);
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<std::string> taken_;
};

// Any thread.
class GitSource final : public Source, public std::enable_shared_from_this<GitSource> {
 public:
  explicit GitSource(GitSourceOptions options) : options_(options) {}
  std::vector<std::string> schemes() const override { return {"git"}; }
  Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) override;

  // What this build saw already, or what the remote says (not asked for commits). Blocking, cancellable.
  Result<GitTip> resolve(const GitWish& wish, const Asker& asker);
  // The tree of what resolve gave; one in progress is shared.
  Result<store::TreeRef> checkout(const GitWish& wish, const GitTip& tip, const std::string& key, const Asker& asker);
  // Fails unless the tip is signed as the wish wants. Brings the objects in; blocking, cancellable.
  Status verify(const GitWish& wish, const GitTip& tip, const Asker& asker);
  // Fetches the wish's bundle, unless it has none or it is there.
  Status stage(GitWish& wish, const Asker& asker);
  // For frontends.
  Result<GitMeta> meta(const graph::SourceOp& op, const MetaOptions& options, const Asker& asker);

 private:
  Result<GitMeta> objects(const GitWish& wish, const GitTip& tip, const Asker& asker);
  Result<GitTip> ask_remote(const GitWish& wish, const Asker& asker);
  GitSourceOptions options_;
  NamedLocks repositories_;
  Flight<GitTip> resolving_;
  BuildMemory<GitTip> seen_;
  Flight<store::TreeRef> checking_out_;
};

Result<GitWish> read_git_wish(const graph::SourceOp& op);
// The text of the key, BuildKit's.
std::string git_key(const GitWish& wish, const GitTip& tip);

}  // namespace kiln::source
