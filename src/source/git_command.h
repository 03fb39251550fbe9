// The git program, run for a source: no configuration of the machine or of a user, no prompts, in a
// process group of its own that a stop ends whole. Private to the room.
//
//   GitCommand git = GitCommand::find().value();
//   git.git_dir = repo;
//   KILN_ASSIGN_OR_RETURN(std::string sha, git.run({"rev-parse", "HEAD"}, asker));
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "source/program.h"
#include "source/source.h"

namespace kiln::source {

// A value: copy it and change members for another directory. One thread.
class GitCommand {
 public:
  // FailedPrecondition when there is no git in PATH.
  static Result<GitCommand> find();

  std::string git_dir;
  std::string work_tree;
  std::string ssh_auth_sock;
  std::string known_hosts;  // path of a file; empty: hosts are not checked
  // Configuration that must not show in the list of processes: name and value.
  std::vector<std::pair<std::string, std::string>> config;

  enum class Logged { kNo, kYes };
  // Gives standard output; both streams go to the asker's log unless told otherwise. A failure is
  // FailedPrecondition "git stderr:\n…", with logins in URLs masked. Servers that do not know
  // --depth, or refuse a commit by name, are asked again without.
  Result<std::string> run(std::vector<std::string> args, const Asker& asker, Logged logged = Logged::kYes) const;

 private:
  Result<Outcome> run_once(const std::vector<std::string>& args, const Asker& asker, Logged logged) const;
  std::vector<std::string> environment() const;
  std::string program_;
};

// "https://user:secret@host/x" → "https://xxxxx:xxxxx@host/x"; other texts stay.
std::string redact_url(std::string_view url);
// 40 or 64 hexadecimal digits, lower case.
bool is_commit_sha(std::string_view text);

}  // namespace kiln::source
