#include "export/internal/files_tar.h"

#include <fmt/format.h>

#include "layer/tar_writer.h"

namespace kiln::exporter::internal {
namespace {

// To the nearest second, as tar without extended headers has it.
layer::FileTime rounded(std::int64_t nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = nanoseconds / kSecond, rest = nanoseconds % kSecond;
  if (rest < 0) {
    --seconds;
    rest += kSecond;
  }
  return {seconds + (rest >= kSecond / 2 ? 1 : 0), 0};
}

layer::TarEntry entry_of(const session::FileStat& stat) {
  layer::TarEntry entry;
  entry.name = stat.path;
  entry.mode = session::posix_mode(stat.mode) & 07777;
  entry.uid = stat.uid;
  entry.gid = stat.gid;
  entry.mtime = rounded(stat.modified_ns);
  entry.link = stat.link;
  entry.dev_major = static_cast<std::uint32_t>(stat.device_major);
  entry.dev_minor = static_cast<std::uint32_t>(stat.device_minor);
  entry.xattrs = stat.xattrs;
  if (stat.is_dir()) {
    entry.type = layer::EntryType::kDirectory;
    if (!entry.name.ends_with('/')) entry.name += '/';
  } else if (stat.is_symlink()) {
    entry.type = layer::EntryType::kSymlink;
  } else if (stat.is_hard_link()) {
    entry.type = layer::EntryType::kHardLink;
  } else if (stat.mode & session::kModeCharDevice) {
    entry.type = layer::EntryType::kCharDevice;
  } else if (stat.mode & session::kModeDevice) {
    entry.type = layer::EntryType::kBlockDevice;
  } else if (stat.mode & session::kModeFifo) {
    entry.type = layer::EntryType::kFifo;
  } else {
    entry.size = static_cast<std::uint64_t>(stat.size);
  }
  return entry;
}

Status write_body(int fd, const layer::TarEntry& entry, layer::TarWriter& tar, std::stop_token stop,
                  std::span<char> buffer) {
  std::uint64_t left = entry.size;
  while (left > 0) {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(std::size_t n,
                          host::read_some(fd, buffer.first(std::min<std::uint64_t>(left, buffer.size()))));
    if (n == 0) {
      return environment_error(Code::kFailedPrecondition, fmt::format("'{}' shrank while it was read", entry.name));
    }
    KILN_RETURN_IF_ERROR(tar.write({buffer.data(), n}));
    left -= n;
  }
  return ok();
}

}  // namespace

Status write_files_tar(session::FileTree& files, ByteSink& sink, std::stop_token stop) {
  layer::TarWriter tar(sink);
  std::string buffer(1 << 20, '\0');
  KILN_RETURN_IF_ERROR(files.walk(
      [&](session::FileStat& stat) -> Status {
        if (stat.mode & session::kModeSocket) return ok();
        layer::TarEntry entry = entry_of(stat);
        KILN_RETURN_IF_ERROR(tar.begin(entry));
        if (entry.type != layer::EntryType::kFile || entry.size == 0) return ok();
        KILN_ASSIGN_OR_RETURN(host::Fd fd, files.open(stat.path));
        return write_body(fd.get(), entry, tar, stop, buffer);
      },
      stop));
  return tar.finish();
}

}  // namespace kiln::exporter::internal
