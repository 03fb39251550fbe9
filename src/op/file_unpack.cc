#include "op/file_unpack.h"

#include <archive.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <memory>
#include <vector>

#include "host/fs.h"
#include "layer/apply.h"
#include "layer/compression.h"
#include "layer/tar_reader.h"

namespace kiln::op {
namespace {

constexpr std::size_t kMagicBytes = 16;

// Bytes of a compressed file that libarchive knows how to undo (bzip2, xz).
class FilteredSource final : public ByteSource {
 public:
  static Result<std::unique_ptr<ByteSource>> open(host::Fd file) {
    auto source = std::unique_ptr<FilteredSource>(new FilteredSource(std::move(file)));
    struct archive* a = source->archive_.get();
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_format_raw(a);
    struct archive_entry* entry = nullptr;
    if (archive_read_open_fd(a, source->file_.get(), kChunkBytes) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK) {
      return source->error();
    }
    return std::unique_ptr<ByteSource>(std::move(source));
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    la_ssize_t n = archive_read_data(archive_.get(), buffer.data(), buffer.size());
    if (n < 0) return error();
    return static_cast<std::size_t>(n);
  }

 private:
  explicit FilteredSource(host::Fd file) : file_(std::move(file)), archive_(archive_read_new()) {}
  Status error() const {
    const char* why = archive_error_string(archive_.get());
    return user_error(Code::kFailedPrecondition, fmt::format("decompress: {}", why ? why : "damaged"));
  }
  struct Free {
    void operator()(struct archive* a) const { archive_read_free(a); }
  };
  host::Fd file_;
  std::unique_ptr<struct archive, Free> archive_;
};

// The file's bytes, decompressed by what its beginning says.
Result<std::unique_ptr<ByteSource>> open_decompressed(int source, const std::string& path) {
  KILN_ASSIGN_OR_RETURN(host::Fd file, host::open_at(source, path, O_RDONLY | O_NOFOLLOW));
  char magic[kMagicBytes];
  ssize_t n = ::pread(file.get(), magic, sizeof magic, 0);
  std::string_view begin(magic, n > 0 ? static_cast<std::size_t>(n) : 0);
  if (begin.starts_with("BZh") || begin.starts_with(std::string_view("\xFD\x37zXZ\0", 6))) {
    return FilteredSource::open(std::move(file));
  }
  return layer::decompress(std::make_unique<host::FdSource>(std::move(file)));
}

// Whether a first member can be read.
bool is_archive(int source, const std::string& path) {
  Result<std::unique_ptr<ByteSource>> bytes = open_decompressed(source, path);
  if (!bytes.ok()) return false;
  layer::TarReader reader(**bytes);
  auto first = reader.next();
  return first.ok() && *first != nullptr;
}

}  // namespace

Result<bool> unpack_archive(int source, const std::string& path, int target, const std::string& dest,
                            const Stamp& stamp, std::uint64_t bytes_max, std::stop_token stop) {
  struct stat info;
  if (path.empty() || ::fstatat(source, path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode) ||
      !is_archive(source, path)) {
    return false;
  }
  KILN_RETURN_IF_ERROR(make_missing_dirs(target, dest, 0755, stamp).status());
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> bytes, open_decompressed(source, path));
  layer::ApplyOptions options;
  options.whiteouts = false;
  options.bytes_max = bytes_max;
  if (stamp.owner) {
    options.owner_uid = stamp.owner->uid;
    options.owner_gid = stamp.owner->gid;
  }
  std::string root = dest.empty() ? host::fd_path(target) : fmt::format("{}/{}", host::fd_path(target), dest);
  Result<layer::ApplyReport> applied = layer::apply_layer(*bytes, root, options, stop);
  if (!applied.ok()) {
    if (is_cancelled(applied.status())) return applied.status();
    return annotate(applied.status(), fmt::format("unpack '/{}'", path));
  }
  return true;
}

}  // namespace kiln::op
