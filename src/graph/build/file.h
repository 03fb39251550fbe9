// Copies and other file actions on a tree, without running anything in it.
//
//   FileSteps steps;
//   steps.mkdir("/out", 0755, {.make_parents = true}).copy(context, "src", "/out/", {});
//   State done = file(base, steps);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/build/state.h"

namespace kiln::graph::build {

// "user[:group]" by name or number; "root" is 0. Names are looked up in the tree that is changed.
struct Owner {
  static Owner parse(std::string_view text);
  static Owner ids(std::uint32_t uid, std::uint32_t gid);
  // Of one side: a number, a name, or nothing.
  std::optional<std::variant<std::uint32_t, std::string>> user;
  std::optional<std::variant<std::uint32_t, std::string>> group;
};

struct MkdirSpec {
  bool make_parents = false;
  std::optional<Owner> owner;
  std::optional<std::int64_t> created_ns;
};
struct MkfileSpec {
  std::optional<Owner> owner;
  std::optional<std::int64_t> created_ns;
};
struct CopySpec {
  std::optional<std::int32_t> mode;
  std::string mode_text;  // "u=rwX,go=rX"; wins over `mode`
  bool follow_symlinks = false;
  bool dir_contents_only = false;
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  std::vector<std::string> required_paths;
  bool attempt_unpack = false;
  bool create_dest_path = false;
  bool allow_wildcard = false;
  bool allow_empty_wildcard = false;
  bool always_replace = false;
  std::optional<Owner> owner;
  std::optional<std::int64_t> created_ns;
};
struct RmSpec {
  bool allow_not_found = false;
  bool allow_wildcard = false;
};

// Actions in order, each on the result of the one before. Relative paths are joined to the
// directory of the state they are applied to (sources: of the state they come from).
class FileSteps {
 public:
  FileSteps& mkdir(std::string path, std::int32_t mode, const MkdirSpec& spec = {});
  FileSteps& mkfile(std::string path, std::int32_t mode, std::string data, const MkfileSpec& spec = {});
  FileSteps& symlink(std::string old_path, std::string new_path, const MkfileSpec& spec = {});
  FileSteps& rm(std::string path, const RmSpec& spec = {});
  FileSteps& copy(State from, std::string src, std::string dest, const CopySpec& spec = {});
  bool empty() const { return steps_.empty(); }

  struct Step {
    // Paths as given; owners without input; made absolute by file().
    std::variant<CopyAction, MkfileAction, MkdirAction, RmAction, SymlinkAction> action;
    std::optional<Owner> owner;
    State from;  // of a copy
  };
  const std::vector<Step>& steps() const { return steps_; }

 private:
  std::vector<Step> steps_;
};

State file(const State& base, const FileSteps& steps, const Constraints& constraints = {});

}  // namespace kiln::graph::build
