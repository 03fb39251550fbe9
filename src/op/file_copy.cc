#include "op/file_copy.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <vector>

#include "base/gopath.h"
#include "base/patterns.h"
#include "host/fs.h"
#include "op/file_edit.h"
#include "op/file_mode.h"
#include "op/file_unpack.h"

namespace kiln::op {
namespace {

using host::Fd;
using host::FollowLast;

const char* at_name(const std::string& path) { return path.empty() ? "." : path.c_str(); }
std::string absolute(std::string_view relative) { return fmt::format("/{}", relative); }

std::string parent_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::optional<struct stat> stat_at(int dir, const std::string& name) {
  struct stat info;
  if (::fstatat(dir, at_name(name), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return info;
}

// What every copied entry gets.
struct Attributes {
  Stamp stamp;
  std::int32_t mode = -1;
  std::optional<ModeChange> change;
};

// The patterns' verdict on a directory, carried to what is in it.
struct Verdict {
  PatternMatcher::State include, exclude;
};

// Copies one source with everything below it.
class Copier {
 public:
  static Result<Copier> make(int target_root, const graph::CopyAction& action, Attributes attributes,
                             std::stop_token stop) {
    Copier copier(target_root, std::move(attributes), stop);
    copier.replaces_ = action.always_replace_existing_dest_paths;
    copier.includes_ = !action.include_patterns.empty();
    copier.excludes_ = !action.exclude_patterns.empty();
    KILN_ASSIGN_OR_RETURN(copier.include_, PatternMatcher::make(action.include_patterns));
    KILN_ASSIGN_OR_RETURN(copier.exclude_, PatternMatcher::make(action.exclude_patterns));
    return copier;
  }

  // `source` and `target` are free of links; the target's parent exists.
  Status copy(int source_root, const std::string& source, const std::string& target) {
    std::string from_parent = parent_of(source), to_parent = parent_of(target);
    KILN_ASSIGN_OR_RETURN(Fd from, open_directory(source_root, from_parent));
    KILN_ASSIGN_OR_RETURN(Fd to, open_directory(target_root_, to_parent));
    std::string from_name = source.empty() ? "." : source.substr(from_parent.empty() ? 0 : from_parent.size() + 1);
    std::string to_name = target.empty() ? "." : target.substr(to_parent.empty() ? 0 : to_parent.size() + 1);
    top_ = {from.get(), to.get()};
    return entry({from_name, to_name, "", target}, Verdict{}, true);
  }

 private:
  // Names of one entry: in its directories, below the source, and below the target root.
  struct Names {
    std::string from;
    std::string to;
    std::string inside;  // path below the copied source; "" for itself
    std::string target;
  };
  // A directory being copied. Its target is made when it is chosen itself or something in it is.
  struct Level {
    Fd from;
    Fd to;  // invalid until made
    Names names;
    struct stat info;
    bool chosen = false;  // by itself, not only for something in it
    bool made = false;    // by us
  };
  struct Top {
    int from = -1;
    int to = -1;
  };

  Copier(int target_root, Attributes attributes, std::stop_token stop)
      : target_root_(target_root), attributes_(std::move(attributes)), stop_(stop) {}

  static Result<Fd> open_directory(int root, const std::string& path) {
    return host::open_at(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }
  int from_dir() const { return levels_.empty() ? top_.from : levels_.back()->from.get(); }
  int to_dir() const { return levels_.empty() ? top_.to : levels_.back()->to.get(); }

  Status entry(Names names, const Verdict& above, bool is_top) {
    if (stop_.stop_requested()) return cancelled();
    bool chosen = true, excluded = false;
    Verdict here;
    if (!is_top) {
      if (includes_) chosen = include_.matches(names.inside, above.include, &here.include);
      if (excludes_ && exclude_.matches(names.inside, above.exclude, &here.exclude)) {
        chosen = false;
        excluded = true;
      }
    }
    const bool may_enter = !excluded || exclude_.has_exclusions();
    if (!chosen && !includes_ && !may_enter) return ok();
    std::optional<struct stat> info = stat_at(from_dir(), names.from);
    if (!info) return annotate(go_error(errno, "lstat", absolute(names.inside)), "failed to stat " + absolute(names.inside));
    if (S_ISDIR(info->st_mode)) return directory(std::move(names), *info, chosen, may_enter, here, is_top);
    if (!chosen) return ok();
    KILN_RETURN_IF_ERROR(make_levels());
    return file(names, *info);
  }

  Status directory(Names names, const struct stat& info, bool chosen, bool may_enter, const Verdict& here, bool is_top) {
    if (chosen) KILN_RETURN_IF_ERROR(make_levels());
    auto level = std::make_unique<Level>();
    KILN_ASSIGN_OR_RETURN(level->from, open_directory(from_dir(), names.from));
    level->names = std::move(names);
    level->info = info;
    level->chosen = chosen;
    levels_.push_back(std::move(level));
    Status done = chosen ? make_level(levels_.size() - 1) : ok();
    if (done.ok() && may_enter) done = contents(*levels_.back(), here);
    Level last = std::move(*levels_.back());
    levels_.pop_back();
    KILN_RETURN_IF_ERROR(done);
    if (!last.to.valid()) return ok();
    // An existing directory that the copy begins with keeps what it has, but for the time.
    if (is_top && !last.made) return set_times(last.to.get(), ".", info);
    if (!last.chosen && !last.made) {
      if (::fchmod(last.to.get(), info.st_mode & 07777) == 0) return ok();
      return go_error(errno, "chmod", absolute(last.names.target));
    }
    return attributes(to_dir(), last.names.to, from_dir(), last.names.from, info);
  }

  Status contents(Level& level, const Verdict& here) {
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(level.from.get()));
    const std::string inside = level.names.inside, target = level.names.target;
    for (std::string& name : names) {
      std::string below = inside.empty() ? name : inside + "/" + name;
      std::string at = target.empty() ? name : target + "/" + name;
      Names next{name, name, std::move(below), std::move(at)};
      KILN_RETURN_IF_ERROR(entry(std::move(next), here, false));
    }
    return ok();
  }

  // Makes the target directories of all levels entered so far.
  Status make_levels() {
    for (std::size_t i = 0; i < levels_.size(); ++i) KILN_RETURN_IF_ERROR(make_level(i));
    return ok();
  }

  Status make_level(std::size_t index) {
    Level& level = *levels_[index];
    if (level.to.valid()) return ok();
    int parent = index == 0 ? top_.to : levels_[index - 1]->to.get();
    const std::string& name = level.names.to;
    std::optional<struct stat> there = stat_at(parent, name);
    if (there && !S_ISDIR(there->st_mode)) {
      if (!replaces_) {
        return user_error(Code::kFailedPrecondition,
                          fmt::format("cannot copy to non-directory: {}", absolute(level.names.target)));
      }
      KILN_RETURN_IF_ERROR(host::remove_all_at(parent, name, stop_));
      there.reset();
    }
    if (!there) {
      if (::mkdirat(parent, name.c_str(), 0700) != 0) return go_error(errno, "mkdir", absolute(level.names.target));
      level.made = true;
    }
    KILN_ASSIGN_OR_RETURN(level.to, open_directory(parent, name));
    return ok();
  }

  Status file(const Names& names, const struct stat& info) {
    int from = from_dir(), to = to_dir();
    KILN_RETURN_IF_ERROR(clear_target(names));
    if (info.st_nlink > 1) {
      auto [known, first] = links_.try_emplace({info.st_dev, info.st_ino}, names.target);
      if (!first) {
        if (::linkat(target_root_, known->second.c_str(), to, names.to.c_str(), 0) != 0) {
          return annotate(go_error(errno, "link", absolute(names.target)), "failed to create hard link");
        }
        return attributes(to, names.to, from, names.from, info);
      }
    }
    if (S_ISREG(info.st_mode)) return regular_file(names, info);
    if (S_ISLNK(info.st_mode)) {
      KILN_ASSIGN_OR_RETURN(std::string link, host::read_link_at(from, names.from));
      if (::symlinkat(link.c_str(), to, names.to.c_str()) != 0) return go_error(errno, "symlink", absolute(names.target));
    } else {
      // A socket leaves an empty file in its place.
      mode_t mode = S_ISSOCK(info.st_mode) ? S_IFREG | (info.st_mode & 07777) : info.st_mode;
      if (::mknodat(to, names.to.c_str(), mode, info.st_rdev) != 0) {
        return annotate(go_error(errno, "mknod", absolute(names.target)), "failed to create device");
      }
    }
    return attributes(to, names.to, from, names.from, info);
  }

  Status clear_target(const Names& names) {
    if (::unlinkat(to_dir(), names.to.c_str(), 0) == 0 || errno == ENOENT) return ok();
    if (errno != EISDIR && errno != EPERM) return go_error(errno, "remove", absolute(names.target));
    if (replaces_) return host::remove_all_at(to_dir(), names.to, stop_);
    return user_error(Code::kFailedPrecondition,
                      fmt::format("cannot replace to directory {} with file", absolute(names.target)));
  }

  // The commonest kind, on descriptors throughout.
  Status regular_file(const Names& names, const struct stat& info) {
    Fd in(::openat(from_dir(), names.from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!in.valid()) return annotate(go_error(errno, "open", absolute(names.inside)), "failed to copy files");
    Fd out(::openat(to_dir(), names.to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out.valid()) return annotate(go_error(errno, "open", absolute(names.target)), "failed to copy files");
    if (info.st_size > 0) {
      Status copied = host::copy_contents(in.get(), out.get(), static_cast<std::uint64_t>(info.st_size), stop_);
      if (!copied.ok()) return is_cancelled(copied) ? copied : annotate(copied, "failed to copy files");
    }
    const Owner owner = owner_of(info);
    if (::fchown(out.get(), owner.uid, owner.gid) != 0) {
      return go_error(errno, "lchown", absolute(names.target));
    }
    if (::fchmod(out.get(), mode_of(info)) != 0) return go_error(errno, "chmod", absolute(names.target));
    Result<host::Xattrs> xattrs = host::xattrs_of(in.get());
    if (xattrs.ok()) set_xattrs(*xattrs, out.get());
    struct timespec times[2];
    fill_times(info, times);
    if (::futimens(out.get(), times) != 0) return go_error(errno, "failed to utime", absolute(names.target));
    return ok();
  }

  Owner owner_of(const struct stat& info) const {
    return attributes_.stamp.owner.value_or(Owner{info.st_uid, info.st_gid});
  }

  mode_t mode_of(const struct stat& info) const {
    if (attributes_.change) return attributes_.change->apply(info.st_mode);
    return (attributes_.mode != -1 ? static_cast<mode_t>(attributes_.mode) : info.st_mode) & 07777;
  }

  void fill_times(const struct stat& info, struct timespec (&times)[2]) const {
    times[0] = info.st_atim;
    times[1] = info.st_mtim;
    if (std::int64_t stamp = attributes_.stamp.timestamp; stamp != -1) {
      std::int64_t seconds = stamp / 1'000'000'000, rest = stamp % 1'000'000'000;
      if (rest < 0) {
        --seconds;
        rest += 1'000'000'000;
      }
      times[0] = times[1] = {seconds, rest};
    }
  }

  Status set_times(int dir, const std::string& name, const struct stat& info) const {
    struct timespec times[2];
    fill_times(info, times);
    if (::utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return ok();
    return annotate(go_error(errno, "failed to utime", absolute(name)), "failed to restore file timestamp");
  }

  // Best effort, as a file system may not take them. Overlay's own are not the tree's.
  template <typename File>
  static void set_xattrs(const host::Xattrs& xattrs, const File& file) {
    for (const auto& [key, value] : xattrs) {
      if (key.starts_with("trusted.overlay.") || key.starts_with("user.overlay.")) continue;
      host::set_xattr(file, key, value).IgnoreError();
    }
  }

  Status attributes(int to, const std::string& name, int from, const std::string& from_name, const struct stat& info) {
    const Owner owner = owner_of(info);
    if (::fchownat(to, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return annotate(go_error(errno, "lchown", name), "failed to copy file info");
    }
    if (!S_ISLNK(info.st_mode) && ::fchmodat(to, name.c_str(), mode_of(info), 0) != 0) {
      return annotate(go_error(errno, "chmod", name), "failed to copy file info");
    }
    Result<host::Xattrs> xattrs = host::xattrs_of(fmt::format("{}/{}", host::fd_path(from), from_name));
    if (xattrs.ok()) set_xattrs(*xattrs, fmt::format("{}/{}", host::fd_path(to), name));
    return set_times(to, name, info);
  }

  int target_root_;
  Attributes attributes_;
  std::stop_token stop_;
  bool replaces_ = false, includes_ = false, excludes_ = false;
  PatternMatcher include_, exclude_;
  Top top_;
  std::vector<std::unique_ptr<Level>> levels_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

// Where one source goes, with the directories on the way made.
struct Target {
  std::string path;
  std::vector<std::string> made;
};

Result<Target> prepare_target(int source_root, const std::string& followed, const std::string& source, int target_root,
                              std::string target, const graph::CopyAction& action, const Attributes& attributes) {
  std::optional<struct stat> from = stat_at(source_root, followed);
  if (!from) return go_error(errno, "lstat", absolute(followed));
  std::optional<struct stat> to = stat_at(target_root, target);
  if (!to && errno != ENOENT) return annotate(go_error(errno, "stat", absolute(target)), "failed to lstat destination path");
  const bool from_dir = S_ISDIR(from->st_mode);
  if ((!action.dir_copy_contents && from_dir && to) || (!from_dir && to && S_ISDIR(to->st_mode))) {
    target = join_path({target, base_name(source)});
    if (target == "/" || target == ".") target.clear();
    if (target.starts_with('/')) target.erase(0, 1);
  }
  std::string directory = action.dir_copy_contents && from_dir && !to ? target : parent_of(target);
  Target out{std::move(target), {}};
  KILN_ASSIGN_OR_RETURN(out.made, make_missing_dirs(target_root, directory,
                                                    attributes.mode != -1 ? static_cast<std::uint32_t>(attributes.mode) : 0755,
                                                    attributes.stamp));
  return out;
}

// One source, free of wildcards.
Status copy_one(int source_root, const std::string& source, int target_root, const std::string& dest,
                const graph::CopyAction& action, const Attributes& attributes, std::stop_token stop) {
  std::vector<std::string> made;
  const std::uint32_t dir_mode = attributes.mode != -1 ? static_cast<std::uint32_t>(attributes.mode) : 0755;
  // "/a/b/" and "/a/b/." must be directories; of "/a/b" only "/a".
  std::string_view end = std::string_view(dest).substr(dest.rfind('/') + 1);
  std::string ensured = end.empty() || end == "." ? dest : dest.substr(0, dest.size() - end.size());
  KILN_ASSIGN_OR_RETURN(std::string ensured_path, host::resolve_in_root(target_root, ensured, FollowLast::kYes));
  KILN_ASSIGN_OR_RETURN(made, make_missing_dirs(target_root, ensured_path, dir_mode, attributes.stamp));

  KILN_ASSIGN_OR_RETURN(std::string target, host::resolve_in_root(target_root, clean_path(dest), FollowLast::kYes));
  KILN_ASSIGN_OR_RETURN(std::string followed,
                        host::resolve_in_root(source_root, join_path("/", source),
                                              action.follow_symlink ? FollowLast::kYes : FollowLast::kNo));
  KILN_ASSIGN_OR_RETURN(Target place, prepare_target(source_root, followed, source, target_root, target, action, attributes));
  KILN_ASSIGN_OR_RETURN(Copier copier, Copier::make(target_root, action, attributes, stop));
  KILN_RETURN_IF_ERROR(copier.copy(source_root, followed, place.path));
  if (attributes.stamp.timestamp == -1) return ok();
  // Copying into them changed the times of the directories made on the way.
  made.insert(made.end(), place.made.begin(), place.made.end());
  for (auto dir = made.rbegin(); dir != made.rend(); ++dir) {
    KILN_RETURN_IF_ERROR(stamp_entry(target_root, *dir, {std::nullopt, attributes.stamp.timestamp}));
  }
  return ok();
}

Status check_dest_exists(int target, const graph::CopyAction& action) {
  KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(target, join_path("/", action.dest), FollowLast::kYes));
  std::string parent = parent_of(path);
  if (stat_at(target, parent)) return ok();
  return annotate(go_error(errno, "lstat", absolute(parent)), "failed to stat " + action.dest);
}

}  // namespace

Status copy_files(int source, int target, const graph::CopyAction& action, const std::optional<Owner>& owner,
                  std::stop_token stop) {
  const std::string from = clean_keeping_end(action.src), dest = clean_keeping_end(action.dest);
  if (!action.create_dest_path) KILN_RETURN_IF_ERROR(check_dest_exists(target, action));
  Attributes attributes{{owner, action.timestamp}, action.mode, std::nullopt};
  if (!action.mode_str.empty()) {
    KILN_ASSIGN_OR_RETURN(attributes.change, ModeChange::parse(action.mode_str));
    attributes.mode = -1;
  }
  std::vector<std::string> sources = {from};
  if (action.allow_wildcard) {
    KILN_ASSIGN_OR_RETURN(sources, resolve_wildcards(source, from, action.follow_symlink));
    if (sources.empty()) {
      if (action.allow_empty_wildcard) return ok();
      return user_error(Code::kNotFound, fmt::format("{} not found", from));
    }
  }
  for (const std::string& one : sources) {
    if (action.attempt_unpack) {
      KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(source, one, FollowLast::kYes));
      KILN_ASSIGN_OR_RETURN(std::string into, host::resolve_in_root(target, dest, FollowLast::kYes));
      KILN_ASSIGN_OR_RETURN(bool unpacked, unpack_archive(source, path, target, into, attributes.stamp, stop));
      if (unpacked) continue;
    }
    KILN_RETURN_IF_ERROR(copy_one(source, one, target, dest, action, attributes, stop));
  }
  return ok();
}

}  // namespace kiln::op
