// An entry of a file tree as the sync protocol tells it. Used by both ends: trees that are sent
// (file_tree.h) and trees that are received (files.h).
//
// Format: fsutil.types.Stat. `mode` has the bits of Go's io/fs.FileMode, which are not those of
// stat(2); the helpers below translate.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace kiln::session {

inline constexpr std::uint32_t kModeDir = 1u << 31;
inline constexpr std::uint32_t kModeSymlink = 1u << 27;
inline constexpr std::uint32_t kModeDevice = 1u << 26;
inline constexpr std::uint32_t kModeFifo = 1u << 25;
inline constexpr std::uint32_t kModeSocket = 1u << 24;
inline constexpr std::uint32_t kModeSetuid = 1u << 23;
inline constexpr std::uint32_t kModeSetgid = 1u << 22;
inline constexpr std::uint32_t kModeCharDevice = 1u << 21;
inline constexpr std::uint32_t kModeSticky = 1u << 20;
inline constexpr std::uint32_t kModeIrregular = 1u << 19;
// None of these: a regular file.
inline constexpr std::uint32_t kModeType =
    kModeDir | kModeSymlink | kModeDevice | kModeFifo | kModeSocket | kModeCharDevice | kModeIrregular;

// A value. Paths are relative, cleaned, with "/".
struct FileStat {
  std::string path;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;  // Unix time
  std::string link;              // symbolic link: its text; hard link: the first path of the file
  std::int64_t device_major = 0;
  std::int64_t device_minor = 0;
  std::map<std::string, std::string> xattrs;

  bool is_dir() const { return mode & kModeDir; }
  bool is_symlink() const { return mode & kModeSymlink; }
  // Regular or the hard link to one; only such entries have contents to ask for.
  bool is_file() const { return (mode & kModeType) == 0; }
  bool is_hard_link() const { return !link.empty() && !is_symlink(); }
  bool operator==(const FileStat&) const = default;
};

// st_mode to Go's bits and back.
std::uint32_t go_mode(mode_t mode);
mode_t posix_mode(std::uint32_t go_mode);

// Order of a walk: as bytes, but '/' before every other byte, so that a directory's entries follow
// it immediately. Negative, zero, positive.
int compare_paths(std::string_view a, std::string_view b);

}  // namespace kiln::session
