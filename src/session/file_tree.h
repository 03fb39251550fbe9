// A tree of files that can be walked in order and read: what a client gives as build context and
// what the daemon gives as local export. Filters are the client's ignore patterns.
//
//   KILN_ASSIGN_OR_RETURN(auto tree, DirTree::at(".", {.exclude_patterns = ignore}));
//   tree->walk([&](const FileStat& stat) { …; return ok(); }, stop);
//
// Patterns follow base/patterns.h; follow_paths are paths whose symbolic links are resolved inside
// the tree and which, with all the links on the way, become include patterns.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "host/fd.h"
#include "session/file_stat.h"

namespace kiln::session {

struct TreeFilter {
  std::vector<std::string> include_patterns;  // empty: everything
  std::vector<std::string> exclude_patterns;
  std::vector<std::string> follow_paths;

  bool empty() const { return include_patterns.empty() && exclude_patterns.empty() && follow_paths.empty(); }
};

// Any thread, several walks at once.
class FileTree {
 public:
  virtual ~FileTree() = default;
  // Tells every entry in the order of compare_paths, directories before their contents, the root
  // itself not told. An error of `visit` ends the walk and is given back. Entries that vanish
  // meanwhile are left out. Blocking, cancellable.
  virtual Status walk(const std::function<Status(FileStat&)>& visit, std::stop_token stop) = 0;
  // Opens a regular file that a walk told. NotFound when it is gone.
  virtual Result<host::Fd> open(const std::string& path) = 0;
  // The same tree seen through a filter, or null when it cannot be filtered (then the whole is sent).
  virtual Result<std::shared_ptr<FileTree>> filtered(const TreeFilter& filter) = 0;
};

// A directory of this machine.
class DirTree final : public FileTree {
 public:
  // Changes an entry before it is told (owner, times); false leaves it out, with what is below it.
  using Map = std::function<bool(FileStat&)>;
  // FailedPrecondition when `path` is no directory; a link to one is followed.
  static Result<std::shared_ptr<DirTree>> at(const std::string& path, TreeFilter filter = {}, Map map = {});
  ~DirTree() override;
  Status walk(const std::function<Status(FileStat&)>& visit, std::stop_token stop) override;
  Result<host::Fd> open(const std::string& path) override;
  Result<std::shared_ptr<FileTree>> filtered(const TreeFilter& filter) override;

 private:
  struct State;
  explicit DirTree(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Several trees, each below a directory of its own ("linux_amd64/…").
class SubdirTrees final : public FileTree {
 public:
  // Names without '/', each once; `stat` describes the directory (its path is the name).
  static Result<std::shared_ptr<SubdirTrees>> make(std::vector<std::pair<FileStat, std::shared_ptr<FileTree>>> trees);
  Status walk(const std::function<Status(FileStat&)>& visit, std::stop_token stop) override;
  Result<host::Fd> open(const std::string& path) override;
  Result<std::shared_ptr<FileTree>> filtered(const TreeFilter& filter) override;

 private:
  std::vector<std::pair<FileStat, std::shared_ptr<FileTree>>> trees_;
};

}  // namespace kiln::session
