// The bare repository kept for a remote, fetched up to a tip, and checkouts out of it. Private.
#pragma once

#include <string>

#include "source/git_session.h"
#include "store/trees.h"

namespace kiln::source {

// Made and used under the remote's lock. The session must outlive it.
class GitRepository {
 public:
  // Brings the tip's commit in, unless it is there. Makes the repository when there is none, and
  // anew when the remote moved its tags or branches in ways that git refuses to follow.
  static Result<GitRepository> fetch(store::Trees& trees, const GitSession& session, const GitWish& wish,
                                     const GitTip& tip, const Asker& asker);
  // A new tree with the files of the tip.
  Result<store::TreeRef> checkout(store::Trees& trees, const GitWish& wish, const GitTip& tip, const Asker& asker);
  const GitCommand& git() const { return git_; }

 private:
  GitRepository(store::MutableRef tree, GitCommand git) : tree_(std::move(tree)), git_(std::move(git)) {}
  Status bring(const GitWish& wish, const GitTip& tip, const Asker& asker);
  Status checkout_with_git_dir(const std::string& directory, const GitWish& wish, const GitTip& tip,
                               const Asker& asker);
  Status checkout_files(const std::string& directory, const GitWish& wish, const GitTip& tip, const Asker& asker);
  Status update_submodules(const std::string& work_tree, const std::string& git_dir, const GitWish& wish,
                           const Asker& asker);

  store::MutableRef tree_;
  GitCommand git_;
};

}  // namespace kiln::source
