// Files and directories: confined opening, attributes, temporary directories, removal, copying.
//
//   KILN_ASSIGN_OR_RETURN(Fd root, open_file(dir, O_PATH | O_DIRECTORY));
//   KILN_ASSIGN_OR_RETURN(Fd passwd, open_in_root(root.get(), "/etc/passwd", O_RDONLY));
//
// "Confined" means: the path is resolved as if `root` were "/", so neither ".." nor an absolute
// symbolic link leaves it (openat2 with RESOLVE_IN_ROOT). Everything here blocks on the disk.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::host {

// Confined open; O_CLOEXEC is added. With O_NOFOLLOW a final symbolic link is not followed (use
// O_PATH | O_NOFOLLOW to hold the link itself).
Result<Fd> open_in_root(int root, std::string_view path, int flags, mode_t mode = 0);
// Confined stat; std::nullopt when nothing is there.
enum class FollowLast { kNo, kYes };
Result<std::optional<struct stat>> stat_in_root(int root, std::string_view path, FollowLast follow);
// The path without symbolic links, relative to root ("usr/lib", "" for root itself). Components that
// do not exist are kept as written, so that the result can be created. FailedPrecondition above 255
// links.
Result<std::string> resolve_in_root(int root, std::string_view path, FollowLast follow);
// Makes the directory and its missing parents, confined; gives it opened (O_RDONLY | O_DIRECTORY).
// `made`, when given, receives each new directory's path relative to root, outermost first.
Result<Fd> make_dirs_in_root(int root, std::string_view path, mode_t mode, std::vector<std::string>* made = nullptr);

// "/proc/self/fd/<n>": a name for an open file in calls that take only paths.
std::string fd_path(int fd);

bool exists(const std::string& path);                          // not following a final link
Status make_dir(const std::string& path, mode_t mode = 0755);  // fine when it is there already
Status make_dirs(const std::string& path, mode_t mode = 0755);
// Names in a directory, without "." and "..", sorted by bytes.
Result<std::vector<std::string>> list_dir(int dir);
Result<std::vector<std::string>> list_dir(const std::string& path);
Result<std::string> read_link_at(int dir, const std::string& name);

// Extended attributes of the file itself, never of what a link points at. Names that vanish meanwhile
// or may not be read are left out; a file system without attributes has none.
using Xattrs = std::map<std::string, std::string>;
Result<Xattrs> xattrs_of(const std::string& path);
Result<Xattrs> xattrs_of(int fd);  // not O_PATH
std::optional<std::string> xattr_of(const std::string& path, const char* name);
Status set_xattr(const std::string& path, const std::string& name, std::string_view value);
Status set_xattr(int fd, const std::string& name, std::string_view value);  // not O_PATH
Status remove_xattr(const std::string& path, const std::string& name);

// Removes a file or a whole directory; fine when nothing is there. Does not cross mounts on purpose,
// but does not check. Cancellable between entries.
Status remove_all(const std::string& path, std::stop_token stop = {});
Status remove_all_at(int dir, const std::string& name, std::stop_token stop = {});

// A directory that goes with its owner.
class TempDir {
 public:
  TempDir() = default;
  ~TempDir();
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept;

  // Under `parent`, or $TMPDIR, or /tmp; mode 0700.
  static Result<TempDir> make(std::string_view prefix, const std::string& parent = {});
  const std::string& path() const { return path_; }
  std::string release() { return std::exchange(path_, {}); }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Copies the contents: shared extents (FICLONE) where the file system can, else copy_file_range,
// keeping holes, else read and write. Both files are at their beginning; `size` is the source's.
Status copy_contents(int from, int to, std::uint64_t size, std::stop_token stop = {});

// What copy_tree and the file operations do to each entry beyond its contents.
struct CopyOptions {
  bool keep_owner = true;
  bool keep_times = true;
  bool keep_xattrs = true;
  // Names of entries to leave out, relative to the copied directory ("a/b"); a directory left out is
  // not entered. Null copies everything.
  std::function<bool(const std::string& path, const struct stat& info)> skip;
};
// Copies a directory's contents into an existing directory, with modes, owners, times, extended
// attributes, hard links (within the copy), devices and fifos; sockets are left out. Existing entries
// of other kinds fail with AlreadyExists. Cancellable.
Status copy_tree(const std::string& from, const std::string& to, const CopyOptions& options, std::stop_token stop = {});

// What lies below a directory: bytes as allocated (512-byte blocks), each inode once; and inodes.
struct DiskUsage {
  std::int64_t bytes = 0;
  std::int64_t inodes = 0;
};
Result<DiskUsage> disk_usage(const std::string& path, std::stop_token stop = {});

// Of the file system that holds `path`.
struct DiskSpace {
  std::int64_t total = 0;
  std::int64_t free = 0;       // for root
  std::int64_t available = 0;  // for everyone
};
Result<DiskSpace> disk_space(const std::string& path);

}  // namespace kiln::host
