#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "base/gopath.h"
#include "session/file_tree.h"
#include "session/internal/path_filter.h"

namespace kiln::session {

struct DirTree::State {
  std::string root;
  internal::PathFilter filter;
  Map map;
};

namespace {

bool is_gone(int error) { return error == ENOENT || error == ENOTDIR; }

struct InodeHash {
  std::size_t operator()(const std::pair<dev_t, ino_t>& inode) const { return inode.second * 31 + inode.first; }
};

std::map<std::string, std::string> read_xattrs(const std::string& path) {
  std::map<std::string, std::string> out;
  char names[4096];
  ssize_t size = llistxattr(path.c_str(), names, sizeof names);
  std::string long_names;
  const char* at = names;
  if (size < 0 && errno == ERANGE) {
    long_names.resize(XATTR_LIST_MAX);
    size = llistxattr(path.c_str(), long_names.data(), long_names.size());
    at = long_names.data();
  }
  for (const char* end = at + std::max<ssize_t>(size, 0); at < end; at += std::strlen(at) + 1) {
    if (std::string_view(at).starts_with("com.apple.")) continue;
    ssize_t length = lgetxattr(path.c_str(), at, nullptr, 0);
    if (length < 0) continue;
    std::string value(static_cast<std::size_t>(length), '\0');
    length = lgetxattr(path.c_str(), at, value.data(), value.size());
    if (length < 0) continue;
    value.resize(static_cast<std::size_t>(length));
    out.emplace(at, std::move(value));
  }
  return out;
}

// One walk: the directories from the root to where it stands, and the first path of each file that
// has several names.
class Walk {
 public:
  Walk(const std::string& root, const internal::PathFilter& filter, const DirTree::Map& map,
       const std::function<Status(FileStat&)>& visit, std::stop_token stop)
      : root_(root), filter_(filter), map_(map), visit_(visit), stop_(std::move(stop)) {}

  Status run() {
    Level top;
    top.told = true;
    int fd = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, fmt::format("open '{}'", root_));
    return enter(fd, "", top);
  }

 private:
  struct Level {
    Level* parent = nullptr;
    internal::PathFilter::State filter;
    FileStat stat;
    bool told = false;
    bool dropped = false;  // by the map: nothing below is told either
  };

  // Takes over the descriptor. `prefix` is "" or ends with '/'.
  Status enter(int fd, const std::string& prefix, Level& level) {
    DIR* dir = fdopendir(fd);
    if (!dir) {
      close(fd);
      return errno_error(errno, fmt::format("read '{}{}'", root_, prefix));
    }
    std::unique_ptr<DIR, int (*)(DIR*)> closer(dir, closedir);
    std::vector<std::string> names;
    while (dirent* entry = readdir(dir)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    std::sort(names.begin(), names.end());
    std::string path = prefix;
    for (const std::string& name : names) {
      if (stop_.stop_requested()) return cancelled();
      path.resize(prefix.size());
      path += name;
      if (root_.size() + path.size() + 1 >= PATH_MAX) return too_long(path);
      KILN_RETURN_IF_ERROR(entry(dirfd(dir), name, path, level));
      if (level.dropped) break;
    }
    return ok();
  }

  // Also bounds how deep the walk nests.
  Status too_long(const std::string& path) const {
    return user_error(Code::kInvalidArgument,
                      fmt::format("'{}/{}…': path of {} bytes is too long (the system takes {})", root_,
                                  path.substr(0, 100), root_.size() + path.size() + 1, PATH_MAX));
  }

  Status entry(int dir, const std::string& name, const std::string& path, Level& parent) {
    struct stat info;
    if (fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (is_gone(errno)) return ok();
      return errno_error(errno, fmt::format("stat '{}/{}'", root_, path));
    }
    bool is_dir = S_ISDIR(info.st_mode);
    Level level;
    level.parent = &parent;
    auto verdict = internal::PathFilter::Verdict::kTell;
    if (!filter_.passes_all()) verdict = filter_.judge(path, is_dir, parent.filter, level.filter);
    if (verdict == internal::PathFilter::Verdict::kPrune) return ok();
    bool tell_now = verdict == internal::PathFilter::Verdict::kTell;
    // What is told later, if at all, is a directory; its attributes are read when that happens.
    if (tell_now || is_dir) {
      Result<bool> made = make_stat(dir, name, path, info, level.stat);
      if (!made.ok()) return made.status();
      if (!*made) return ok();
    }
    if (tell_now) {
      KILN_RETURN_IF_ERROR(tell(level));
      if (level.dropped || !level.told) return ok();
    }
    if (!is_dir) return ok();
    int fd = openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      if (is_gone(errno) || (errno == EACCES && !tell_now)) return ok();
      return errno_error(errno, fmt::format("open '{}/{}'", root_, path));
    }
    return enter(fd, path + "/", level);
  }

  // False when the entry vanished.
  Result<bool> make_stat(int dir, const std::string& name, const std::string& path, const struct stat& info,
                         FileStat& out) {
    out.path = path;
    out.mode = go_mode(info.st_mode) & ~kModeSocket;
    out.uid = info.st_uid;
    out.gid = info.st_gid;
    out.modified_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (S_ISDIR(info.st_mode)) {
      out.xattrs = read_xattrs(root_ + "/" + path);
      return true;
    }
    out.size = info.st_size;
    if (S_ISBLK(info.st_mode) || S_ISCHR(info.st_mode)) {
      out.device_major = major(info.st_rdev);
      out.device_minor = minor(info.st_rdev);
    }
    if (S_ISLNK(info.st_mode)) {
      std::string text(PATH_MAX, '\0');  // not on the stack: the walk nests
      ssize_t size = readlinkat(dir, name.c_str(), text.data(), text.size());
      if (size < 0 && (is_gone(errno) || errno == EINVAL)) return false;
      if (size < 0) return errno_error(errno, fmt::format("read link '{}/{}'", root_, path));
      text.resize(static_cast<std::size_t>(size));
      out.link = text;
    } else if (info.st_nlink > 1) {
      auto [it, first] = seen_.try_emplace({info.st_dev, info.st_ino}, path);
      if (!first) {
        out.link = it->second;
        out.size = 0;
      }
    }
    out.xattrs = read_xattrs(root_ + "/" + path);
    return true;
  }

  // Tells the directories above first.
  Status tell(Level& level) {
    if (level.parent && !level.parent->told) {
      KILN_RETURN_IF_ERROR(tell(*level.parent));
      if (level.parent->dropped) {
        level.dropped = true;
        return ok();
      }
    }
    if (map_ && !map_(level.stat)) {
      level.dropped = level.stat.is_dir();
      return ok();
    }
    level.told = true;
    return visit_(level.stat);
  }

  const std::string& root_;
  const internal::PathFilter& filter_;
  const DirTree::Map& map_;
  const std::function<Status(FileStat&)>& visit_;
  std::stop_token stop_;
  std::unordered_map<std::pair<dev_t, ino_t>, std::string, InodeHash> seen_;
};

}  // namespace

DirTree::DirTree(std::unique_ptr<State> state) : state_(std::move(state)) {}
DirTree::~DirTree() = default;

Result<std::shared_ptr<DirTree>> DirTree::at(const std::string& path, TreeFilter filter, Map map) {
  // A name of an open directory stays as it is: its target, read as text, is another directory when
  // the open one lies on a mount that is attached nowhere ("/" then).
  const bool open_directory = path.starts_with("/proc/self/fd/");
  std::unique_ptr<char, decltype(&free)> real(
      open_directory ? strdup((path + "/.").c_str()) : realpath(path.c_str(), nullptr), free);
  if (!real) return errno_error(errno, fmt::format("resolve '{}'", path));
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return errno_error(errno, fmt::format("stat '{}'", path));
  if (!S_ISDIR(info.st_mode)) {
    return user_error(Code::kFailedPrecondition, fmt::format("'{}' is not a directory", path));
  }
  auto state = std::make_unique<State>();
  state->root = path;
  // A mount without a place, named by its descriptor, "really" lies at "/": not our root at all.
  struct stat really;
  bool same = stat(real.get(), &really) == 0 && really.st_dev == info.st_dev && really.st_ino == info.st_ino;
  if (same) state->root = real.get();
  if (state->root == "/") state->root.clear();
  std::optional<std::vector<std::string>> resolved;
  if (!filter.follow_paths.empty()) {
    KILN_ASSIGN_OR_RETURN(resolved, internal::follow_links(state->root, filter.follow_paths));
  }
  KILN_ASSIGN_OR_RETURN(state->filter, internal::PathFilter::make(filter, resolved));
  state->map = std::move(map);
  return std::shared_ptr<DirTree>(new DirTree(std::move(state)));
}

Status DirTree::walk(const std::function<Status(FileStat&)>& visit, std::stop_token stop) {
  std::string root = state_->root.empty() ? "/" : state_->root;
  return Walk(root, state_->filter, state_->map, visit, std::move(stop)).run();
}

Result<host::Fd> DirTree::open(const std::string& path) {
  if (!state_->filter.passes_all() && !state_->filter.admits(path)) {
    return user_error(Code::kNotFound, fmt::format("open '{}': no such file in the filtered tree", path));
  }
  return host::open_file(state_->root + "/" + path, O_RDONLY | O_NOFOLLOW);
}

Result<std::shared_ptr<FileTree>> DirTree::filtered(const TreeFilter& filter) {
  if (filter.empty()) {
    auto same = std::make_unique<State>(*state_);
    return std::shared_ptr<FileTree>(new DirTree(std::move(same)));
  }
  if (!state_->filter.passes_all()) {
    return engine_error("a filtered directory cannot be filtered again");
  }
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<DirTree> tree,
                        at(state_->root.empty() ? "/" : state_->root, filter, state_->map));
  return std::shared_ptr<FileTree>(std::move(tree));
}

}  // namespace kiln::session
