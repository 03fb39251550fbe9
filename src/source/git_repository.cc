#include "source/git_repository.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/id.h"
#include "base/text.h"
#include "host/fs.h"
#include "source/git_bundle.h"

namespace kiln::source {
namespace {

constexpr auto kQuiet = GitCommand::Logged::kNo;

// Where a tree without parent lies: it is one plain directory.
Result<std::string> directory_of(store::MutableTree& tree) {
  KILN_ASSIGN_OR_RETURN(host::MountSpec spec, tree.mount());
  if (spec.type != "bind" && spec.type != "rbind")
    return engine_error("a tree without parent is not a plain directory");
  return spec.source;
}

// Git refuses to follow: a tag was moved, or a branch became a directory of branches.
bool needs_new_repository(const Status& status) {
  std::string_view text = message_of(status);
  auto has = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
  if (has("rejected") && has("(would clobber existing tag)")) return true;
  return has("some local refs could not be updated;") &&
         (has("(unable to update local ref)") || has("refname conflict"));
}

// The local name under which a fetched ref is kept, so that later fetches can tell the server.
std::string local_ref(const std::string& ref) { return ref.starts_with("refs/tags/") ? ref : "tags/" + ref; }

Status set_times(int dir, const std::string& name, const timespec& at) {
  timespec times[2] = {at, at};
  if (::utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return errno_error(errno, "set times of " + name);
  return ok();
}

// Every entry below the directory, children before their directory.
Status set_times_below(int dir, const timespec& at, const std::stop_token& stop) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(dir));
  for (const std::string& name : names) {
    if (stop.stop_requested()) return cancelled();
    struct stat info;
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat " + name);
    if (S_ISDIR(info.st_mode)) {
      KILN_ASSIGN_OR_RETURN(host::Fd child, host::open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      KILN_RETURN_IF_ERROR(set_times_below(child.get(), at, stop));
    }
    KILN_RETURN_IF_ERROR(set_times(dir, name, at));
  }
  return ok();
}

// The path below `root`, of which every component must be a real directory: a link could lead out.
Result<std::string> plain_subdir(const std::string& root, std::string_view subdir) {
  std::string at = root;
  for (std::string_view part : split(subdir, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..")
      return user_error(Code::kInvalidArgument, fmt::format("git subpath \"{}\" leaves the repository", subdir));
    at += "/" + std::string(part);
    struct stat info;
    if (::lstat(at.c_str(), &info) != 0) {
      return user_error(
          Code::kNotFound,
          fmt::format("invalid subdir {}: failed to lstat \"{}\": no such file or directory", subdir, part));
    }
    if (!S_ISDIR(info.st_mode)) {
      return user_error(
          Code::kInvalidArgument,
          fmt::format("invalid subdir {0}: git subpath \"{0}\" contains non-directory \"{1}\"", subdir, part));
    }
  }
  return at;
}

// What is in `from` becomes the contents of `to`; the rest of `to` goes.
Status move_up(const std::string& from, const std::string& to) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(from));
  for (const std::string& name : names) {
    if (::rename((from + "/" + name).c_str(), (to + "/" + name).c_str()) != 0)
      return errno_error(errno, "move '" + name + "'");
  }
  return ok();
}

}  // namespace

Result<GitRepository> GitRepository::fetch(store::Trees& trees, const GitSession& session, const GitWish& wish,
                                           const GitTip& tip, const Asker& asker) {
  const std::string index = "git-remote::" + wish.remote;
  const std::string name = redact_url(wish.remote);
  for (bool fresh : {false, true}) {
    KILN_ASSIGN_OR_RETURN(store::MutableRef tree, trees.take(index));
    if (tree && fresh) {
      tree->discard();
      tree.reset();
    }
    bool made = tree == nullptr;
    if (made) {
      KILN_ASSIGN_OR_RETURN(tree,
                            trees.make_mutable(nullptr, {.description = "shared git repo for " + name}, asker.stop));
    }
    KILN_ASSIGN_OR_RETURN(std::string directory, directory_of(*tree));
    GitCommand git = session.git;
    git.git_dir = directory;
    if (made) {
      std::vector<std::string> init = {"-c", "init.defaultBranch=master", "init", "--bare"};
      if (tip.object.size() == 64) init.push_back("--object-format=sha256");
      KILN_RETURN_IF_ERROR(git.run(init, asker).status());
      KILN_RETURN_IF_ERROR(git.run({"remote", "add", "origin", wish.remote}, asker).status());
      KILN_RETURN_IF_ERROR(tree->keep(index));
    }
    GitRepository repository(std::move(tree), std::move(git));
    Status status = repository.bring(wish, tip, asker);
    if (status.ok()) return repository;
    if (fresh || !needs_new_repository(status)) return annotate(status, "failed to fetch remote " + name);
  }
  return engine_error("unreachable");
}

Status GitRepository::bring(const GitWish& wish, const GitTip& tip, const Asker& asker) {
  const bool by_commit = is_commit_sha(tip.ref) || wish.fetch_by_commit;
  // A commit that is here already, and checked out by itself, needs no network.
  Status known = git_.run({"cat-file", "-e", tip.object + "^{commit}"}, asker, kQuiet).status();
  if (is_cancelled(known)) return known;
  const std::string directory = git_.git_dir;
  const bool cut_off = host::exists(directory + "/shallow");
  if (known.ok() && by_commit && !(wish.checkout_bundle && cut_off)) return ok();

  ::unlink((directory + "/shallow.lock").c_str());  // of a killed fetch
  std::vector<std::string> args = {"fetch"};
  // A bundle holds the whole history.
  const bool shallow = !wish.checkout_bundle && (wish.fetch_by_commit || !by_commit);
  const std::string from = wish.staged ? wish.staged->url() : "origin";
  if (shallow) {
    args.insert(args.end(), {"--depth=1", "--no-tags"});
  } else {
    args.push_back("--tags");
    if (cut_off) args.push_back("--unshallow");
  }
  args.push_back(from);
  if (by_commit) {
    args.push_back(tip.object);
  } else {
    args.insert(args.end(), {"--force", "--", tip.ref + ":" + local_ref(tip.ref)});
  }
  KILN_RETURN_IF_ERROR(git_.run(args, asker).status());

  Status there = git_.run({"cat-file", "-e", tip.object}, asker, kQuiet).status();
  if (is_cancelled(there)) return there;
  if (!there.ok()) {
    // The ref moved on since it was resolved: the very object is asked for.
    std::vector<std::string> exact = {"fetch", "--tags"};
    if (host::exists(directory + "/shallow")) exact.push_back("--unshallow");
    exact.insert(exact.end(), {from, tip.object});
    KILN_RETURN_IF_ERROR(git_.run(exact, asker).status());
    there = git_.run({"cat-file", "-e", tip.object}, asker, kQuiet).status();
    if (is_cancelled(there)) return there;
    if (!there.ok()) {
      return user_error(
          Code::kFailedPrecondition,
          fmt::format("fetched ref {} does not match expected commit {} and commit can not be found in the repository",
                      tip.ref, tip.object));
    }
  }
  if (by_commit) {
    if (!wish.checksum.empty() && !tip.object.starts_with(wish.checksum)) {
      return user_error(Code::kFailedPrecondition,
                        fmt::format("expected checksum to match {}, got {}", wish.checksum, tip.object));
    }
    return ok();
  }
  std::string local = local_ref(tip.ref);
  if (!local.starts_with("refs/")) local = "refs/" + local;
  return git_.run({"update-ref", local, tip.object, "--no-deref"}, asker, kQuiet).status();
}

Status GitRepository::update_submodules(const std::string& work_tree, const std::string& git_dir, const GitWish& wish,
                                        const Asker& asker) {
  if (wish.skip_submodules || !host::exists(work_tree + "/.gitmodules")) return ok();
  GitCommand git = git_;
  git.work_tree = work_tree;
  git.git_dir = git_dir;
  Status status = git.run({"submodule", "update", "--init", "--recursive", "--depth=1"}, asker).status();
  return status.ok() ? status : annotate(status, "failed to update submodules for " + redact_url(wish.remote));
}

Status GitRepository::checkout_with_git_dir(const std::string& directory, const GitWish& wish, const GitTip& tip,
                                            const Asker& asker) {
  GitCommand work = git_;
  work.work_tree = directory;
  work.git_dir = directory + "/.git";
  std::vector<std::string> init = {"-c", "init.defaultBranch=master", "init"};
  if (tip.object.size() == 64) init.push_back("--object-format=sha256");
  KILN_RETURN_IF_ERROR(work.run(init, asker).status());
  // By URL: a clone by path would copy files behind git's back.
  KILN_RETURN_IF_ERROR(work.run({"remote", "add", "origin", "file://" + git_.git_dir}, asker).status());

  KILN_ASSIGN_OR_RETURN(std::string kind, git_.run({"cat-file", "-t", tip.object}, asker, kQuiet));
  // The object gets a name in the shared repository, to be fetched by, and the ref's own name here.
  std::string name = "refs/kiln/" + new_id();
  KILN_RETURN_IF_ERROR(git_.run({"update-ref", name, tip.object, "--no-deref"}, asker, kQuiet).status());
  std::string pull = name;
  if (trim(kind) == "tag" || !is_commit_sha(tip.ref)) pull += ":" + tip.ref;
  Status fetched = work.run({"fetch", "-u", "--no-tags", "--depth=1", "--", "origin", pull}, asker).status();
  Status dropped = git_.run({"update-ref", "-d", name}, asker, kQuiet).status();
  KILN_RETURN_IF_ERROR(fetched);
  KILN_RETURN_IF_ERROR(dropped);
  Status status = work.run({"checkout", "FETCH_HEAD"}, asker).status();
  if (!status.ok()) return annotate(status, "failed to checkout remote " + redact_url(wish.remote));
  KILN_RETURN_IF_ERROR(work.run({"remote", "set-url", "origin", redact_url(wish.remote)}, asker).status());
  KILN_RETURN_IF_ERROR(work.run({"reflog", "expire", "--all", "--expire=now"}, asker).status());
  ::unlink((work.git_dir + "/FETCH_HEAD").c_str());
  return update_submodules(directory, work.git_dir, wish, asker);
}

Status GitRepository::checkout_files(const std::string& directory, const GitWish& wish, const GitTip& tip,
                                     const Asker& asker) {
  std::string target = directory;
  if (!wish.subdir.empty()) {
    target = directory + "/.checkout-" + new_id();
    KILN_RETURN_IF_ERROR(host::make_dir(target));
  }
  GitCommand work = git_;
  work.work_tree = target;
  Status status = work.run({"checkout", "--no-overlay", tip.object, "--", "."}, asker).status();
  if (!status.ok()) return annotate(status, "failed to checkout remote " + redact_url(wish.remote));
  KILN_RETURN_IF_ERROR(update_submodules(target, git_.git_dir, wish, asker));
  if (wish.subdir.empty()) return ok();
  KILN_ASSIGN_OR_RETURN(std::string inner, plain_subdir(target, wish.subdir));
  KILN_RETURN_IF_ERROR(move_up(inner, directory));
  return host::remove_all(target, asker.stop);
}

Result<store::TreeRef> GitRepository::checkout(store::Trees& trees, const GitWish& wish, const GitTip& tip,
                                               const Asker& asker) {
  store::TreeOptions options{
      .description = fmt::format("git {} for {}#{}", wish.checkout_bundle ? "bundle checkout" : "snapshot",
                                 redact_url(wish.remote), wish.ref),
      .type = store::RecordType::kGitCheckout,
      .created = {}};
  KILN_ASSIGN_OR_RETURN(store::MutableRef work, trees.make_mutable(nullptr, options, asker.stop));
  KILN_ASSIGN_OR_RETURN(std::string directory, directory_of(*work));
  if (wish.checkout_bundle) {
    KILN_RETURN_IF_ERROR(write_bundle(git_, wish.ref, tip.object, directory + "/bundle", asker));
  } else if (wish.keep_git_dir && wish.subdir.empty()) {
    KILN_RETURN_IF_ERROR(checkout_with_git_dir(directory, wish, tip, asker));
  } else {
    KILN_RETURN_IF_ERROR(checkout_files(directory, wish, tip, asker));
  }
  if (wish.mtime == "commit" && !wish.checkout_bundle) {
    KILN_ASSIGN_OR_RETURN(std::string text,
                          git_.run({"log", "-1", "--format=%ct", tip.object + "^{commit}"}, asker, kQuiet));
    std::string_view digits = trim(text);
    timespec at{};
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), at.tv_sec);
    if (error != std::errc()) return engine_error(fmt::format("failed to parse commit timestamp \"{}\"", digits));
    KILN_ASSIGN_OR_RETURN(host::Fd root, host::open_file(directory, O_RDONLY | O_DIRECTORY));
    KILN_RETURN_IF_ERROR(set_times_below(root.get(), at, asker.stop));
    KILN_RETURN_IF_ERROR(set_times(root.get(), ".", at));
  }
  return work->commit();
}

}  // namespace kiln::source
