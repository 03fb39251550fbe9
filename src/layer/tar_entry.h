// One member of a tar archive as plain data; what reader, writer, apply and diff speak.
//
// Formats: POSIX.1-2017 pax interchange (ustar + extended headers), GNU long names; extended
// attributes as "SCHILY.xattr.<name>" records.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace kiln::layer {

enum class EntryType { kFile, kHardLink, kSymlink, kCharDevice, kBlockDevice, kDirectory, kFifo };

// Seconds and nanoseconds since the epoch; nanoseconds in [0, 1e9).
struct FileTime {
  std::int64_t seconds = 0;
  std::int32_t nanoseconds = 0;
  auto operator<=>(const FileTime&) const = default;
};

struct TarEntry {
  std::string name;  // as in the archive: no leading "/", directories end in "/"
  EntryType type = EntryType::kFile;
  std::uint32_t mode = 0;  // permission bits with setuid, setgid, sticky; no file type
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  // of the body; 0 for all but files
  FileTime mtime;
  std::string link;  // target of a symlink; archive name of a hard link's target
  std::uint32_t dev_major = 0;
  std::uint32_t dev_minor = 0;
  std::string uname;
  std::string gname;
  std::map<std::string, std::string> xattrs;  // by full name: "security.capability"
};

// Names with a meaning of their own in layers (OCI image-spec layer.md, whiteouts).
inline constexpr char kWhiteoutPrefix[] = ".wh.";
inline constexpr char kOpaqueMarker[] = ".wh..wh..opq";

}  // namespace kiln::layer
