#include "op/copy_entry.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <vector>

#include "base/patterns.h"
#include "host/fs.h"
#include "op/copy_crew.h"

namespace kiln::op {
namespace {

using host::Fd;

// Of one job of the crew.
constexpr std::size_t kBatchFiles = 32;
constexpr std::int64_t kBatchBytes = 1 << 20;

std::string absolute(std::string_view relative) { return fmt::format("/{}", relative); }

std::string parent_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::optional<struct stat> stat_at(int dir, const std::string& name) {
  struct stat info;
  if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return info;
}

// The patterns' verdict on a directory, carried to what is in it.
struct Verdict {
  PatternMatcher::State include, exclude;
};

// Names of one entry: in its directories, below the source, and below the target root.
struct Names {
  std::string from;
  std::string to;
  std::string inside;  // path below the copied source; "" for itself
  std::string target;
};

// A regular file with one name.
struct PlainFile {
  Names names;
  struct stat info;
};

// A directory being copied. Its target is made when it is chosen itself or something in it is; its
// attributes come last, given by whoever ends the last work in it. The walk and each job and directory
// in it are one open work.
struct Level {
  std::shared_ptr<Level> above;  // null: the place where the copy begins
  Fd from;
  Fd to;  // invalid until made
  Names names;
  struct stat info {};
  bool is_top = false;
  bool chosen = false;  // by itself, not only for something in it
  bool made = false;    // by us
  host::NewFiles created;
  std::vector<PlainFile> batch;
  std::int64_t batch_bytes = 0;
  std::atomic<int> open_works = 1;
};
using LevelRef = std::shared_ptr<Level>;

class Copier {
 public:
  Copier(int target_root, const CopiedAttributes& attributes, std::stop_token stop)
      : target_root_(target_root), attributes_(attributes), stop_(stop) {}

  Status choose(const graph::CopyAction& action) {
    replaces_ = action.always_replace_existing_dest_paths;
    includes_ = !action.include_patterns.empty();
    excludes_ = !action.exclude_patterns.empty();
    KILN_ASSIGN_OR_RETURN(include_, PatternMatcher::make(action.include_patterns));
    KILN_ASSIGN_OR_RETURN(exclude_, PatternMatcher::make(action.exclude_patterns));
    return ok();
  }

  Status copy(const TreePlace& source, const std::string& target) {
    std::string from_parent = parent_of(source.path), to_parent = parent_of(target);
    auto ground = std::make_shared<Level>();
    KILN_ASSIGN_OR_RETURN(ground->from, open_directory(source.root, from_parent));
    KILN_ASSIGN_OR_RETURN(ground->to, open_directory(target_root_, to_parent));
    std::string from_name =
        source.path.empty() ? "." : source.path.substr(from_parent.empty() ? 0 : from_parent.size() + 1);
    std::string to_name = target.empty() ? "." : target.substr(to_parent.empty() ? 0 : to_parent.size() + 1);
    Status walked = entry({from_name, to_name, "", target}, Verdict{}, ground);
    if (walked.ok()) walked = hand_over(ground);
    Status written = crew_.finish();
    return walked.ok() || is_cancelled(walked) ? written.ok() ? walked : written : walked;
  }

 private:
  static Result<Fd> open_directory(int root, const std::string& path) {
    return host::open_at(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }

  Status entry(Names names, const Verdict& verdict, const LevelRef& level) {
    if (stop_.stop_requested() || crew_.failed()) return cancelled();
    bool chosen = true, excluded = false;
    Verdict here;
    if (level->above) {
      if (includes_) chosen = include_.matches(names.inside, verdict.include, &here.include);
      if (excludes_ && exclude_.matches(names.inside, verdict.exclude, &here.exclude)) {
        chosen = false;
        excluded = true;
      }
    }
    const bool may_enter = !excluded || exclude_.has_exclusions();
    if (!chosen && !includes_ && !may_enter) return ok();
    std::optional<struct stat> info = stat_at(level->from.get(), names.from);
    if (!info)
      return annotate(go_error(errno, "lstat", absolute(names.inside)), "failed to stat " + absolute(names.inside));
    if (S_ISDIR(info->st_mode)) return directory(std::move(names), *info, chosen, may_enter, here, level);
    if (!chosen) return ok();
    KILN_RETURN_IF_ERROR(make_levels(level));
    return file(std::move(names), *info, level);
  }

  Status directory(Names names, const struct stat& info, bool chosen, bool may_enter, const Verdict& here,
                   const LevelRef& above) {
    if (chosen) KILN_RETURN_IF_ERROR(make_levels(above));
    auto level = std::make_shared<Level>();
    KILN_ASSIGN_OR_RETURN(level->from, open_directory(above->from.get(), names.from));
    level->above = above;
    level->names = std::move(names);
    level->info = info;
    level->is_top = !above->above;
    level->chosen = chosen;
    ++above->open_works;
    if (chosen) KILN_RETURN_IF_ERROR(make_level(*level));
    if (may_enter) KILN_RETURN_IF_ERROR(contents(level, here));
    KILN_RETURN_IF_ERROR(hand_over(level));
    return end_work(level);
  }

  Status contents(const LevelRef& level, const Verdict& here) {
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(level->from.get()));
    const std::string &inside = level->names.inside, &target = level->names.target;
    for (std::string& name : names) {
      std::string below = inside.empty() ? name : inside + "/" + name;
      std::string at = target.empty() ? name : target + "/" + name;
      Names next{name, name, std::move(below), std::move(at)};
      KILN_RETURN_IF_ERROR(entry(std::move(next), here, level));
    }
    return ok();
  }

  // One piece of work in the directory is done; the last one gives it its attributes.
  Status end_work(const LevelRef& level) {
    for (LevelRef at = level; at->above && --at->open_works == 0; at = at->above) {
      KILN_RETURN_IF_ERROR(finish(*at));
      at->from.reset();
      at->to.reset();
    }
    return ok();
  }

  Status finish(const Level& level) const {
    if (!level.to.valid()) return ok();
    // An existing directory that the copy begins with keeps what it has, but for the time.
    if (level.is_top && !level.made) return attributes_.give_times(level.to.get(), ".", level.info);
    if (!level.chosen && !level.made) {
      if (::fchmod(level.to.get(), level.info.st_mode & 07777) == 0) return ok();
      return go_error(errno, "chmod", absolute(level.names.target));
    }
    const Level& above = *level.above;
    return attributes_.give(above.to.get(), level.names.to, above.from.get(), level.names.from, level.info);
  }

  // Makes the target directories down to this one.
  Status make_levels(const LevelRef& level) {
    if (level->to.valid()) return ok();
    KILN_RETURN_IF_ERROR(make_levels(level->above));
    return make_level(*level);
  }

  Status make_level(Level& level) {
    if (level.to.valid()) return ok();
    int parent = level.above->to.get();
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
    level.created = host::NewFiles::in(level.to.get());
    return ok();
  }

  Status file(Names names, const struct stat& info, const LevelRef& level) {
    // In a directory that we made lies nothing yet.
    if (!level->made) KILN_RETURN_IF_ERROR(clear_target(names, *level));
    if (S_ISREG(info.st_mode) && info.st_nlink == 1) return plain_file({std::move(names), info}, level);
    int from = level->from.get(), to = level->to.get();
    if (info.st_nlink > 1) {
      auto [known, first] = links_.try_emplace({info.st_dev, info.st_ino}, names.target);
      if (!first) {
        if (::linkat(target_root_, known->second.c_str(), to, names.to.c_str(), 0) != 0) {
          return annotate(go_error(errno, "link", absolute(names.target)), "failed to create hard link");
        }
        return attributes_.give(to, names.to, from, names.from, info);
      }
    }
    if (S_ISREG(info.st_mode)) return copy_contents(names, info, *level);
    if (S_ISLNK(info.st_mode)) {
      KILN_ASSIGN_OR_RETURN(std::string link, host::read_link_at(from, names.from));
      if (::symlinkat(link.c_str(), to, names.to.c_str()) != 0)
        return go_error(errno, "symlink", absolute(names.target));
    } else {
      // A socket leaves an empty file in its place.
      mode_t mode = S_ISSOCK(info.st_mode) ? S_IFREG | (info.st_mode & 07777) : info.st_mode;
      if (::mknodat(to, names.to.c_str(), mode, info.st_rdev) != 0) {
        return annotate(go_error(errno, "mknod", absolute(names.target)), "failed to create device");
      }
    }
    return attributes_.give(to, names.to, from, names.from, info);
  }

  Status clear_target(const Names& names, const Level& level) {
    int to = level.to.get();
    if (::unlinkat(to, names.to.c_str(), 0) == 0 || errno == ENOENT) return ok();
    if (errno != EISDIR && errno != EPERM) return go_error(errno, "remove", absolute(names.target));
    if (replaces_) return host::remove_all_at(to, names.to, stop_);
    return user_error(Code::kFailedPrecondition,
                      fmt::format("cannot replace to directory {} with file", absolute(names.target)));
  }

  // The commonest kind: gathered, and copied by the crew.
  Status plain_file(PlainFile file, const LevelRef& level) {
    level->batch_bytes += file.info.st_size;
    level->batch.push_back(std::move(file));
    if (level->batch.size() < kBatchFiles && level->batch_bytes < kBatchBytes) return ok();
    return hand_over(level);
  }

  Status hand_over(const LevelRef& level) {
    if (level->batch.empty()) return ok();
    ++level->open_works;
    level->batch_bytes = 0;
    crew_.submit([this, level, files = std::exchange(level->batch, {})]() -> Status {
      for (const PlainFile& file : files) {
        if (stop_.stop_requested()) return cancelled();
        KILN_RETURN_IF_ERROR(copy_contents(file.names, file.info, *level));
      }
      return end_work(level);
    });
    return ok();
  }

  // On descriptors throughout. Any thread.
  Status copy_contents(const Names& names, const struct stat& info, const Level& level) const {
    Fd in(::openat(level.from.get(), names.from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!in.valid()) return annotate(go_error(errno, "open", absolute(names.inside)), "failed to copy files");
    Fd out(::openat(level.to.get(), names.to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    attributes_.mode_of(info) & 0777));
    if (!out.valid()) return annotate(go_error(errno, "open", absolute(names.target)), "failed to copy files");
    if (info.st_size > 0) {
      Status copied = host::copy_contents(in.get(), out.get(), static_cast<std::uint64_t>(info.st_size), stop_);
      if (!copied.ok()) return is_cancelled(copied) ? copied : annotate(copied, "failed to copy files");
    }
    return attributes_.give_to_new(out.get(), in.get(), names.target, info, level.created);
  }

  int target_root_;
  const CopiedAttributes& attributes_;
  std::stop_token stop_;
  bool replaces_ = false, includes_ = false, excludes_ = false;
  PatternMatcher include_, exclude_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  CopyCrew crew_;  // last: its jobs use the rest
};

}  // namespace

Status copy_entry(const TreePlace& source, const TreePlace& target, const graph::CopyAction& action,
                  const CopiedAttributes& attributes, std::stop_token stop) {
  Copier copier(target.root, attributes, stop);
  KILN_RETURN_IF_ERROR(copier.choose(action));
  return copier.copy(source, target.path);
}

}  // namespace kiln::op
