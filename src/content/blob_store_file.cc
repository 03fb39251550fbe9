#include "content/blob_store_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "base/id.h"
#include "base/timestamp.h"
#include "content/internal/json_read.h"
#include "content/json_text.h"
#include "host/file_bytes.h"

namespace kiln::content {
namespace {

class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Status make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_error(errno, fmt::format("mkdir '{}'", path));
  return ok();
}

Status write_whole(int fd, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, fmt::format("write '{}'", path));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return ok();
}

template <typename Visit>
Status for_each_name(const std::string& path, Visit visit) {
  DIR* folder = ::opendir(path.c_str());
  if (!folder) return errno == ENOENT ? ok() : errno_error(errno, fmt::format("open folder '{}'", path));
  Status status;
  while (status.ok()) {
    dirent* entry = ::readdir(folder);
    if (!entry) break;
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") status = visit(name);
  }
  ::closedir(folder);
  return status;
}

Time time_of(const timespec& t) { return timestamp(t.tv_sec, t.tv_nsec); }

class FileBlobReader final : public BlobReader, public host::FileSource {
 public:
  FileBlobReader(int fd, std::int64_t size, std::int64_t offset, std::string path)
      : file_(fd), size_(size), at_(offset), path_(std::move(path)) {}

  std::int64_t size() const override { return size_; }
  int file() const override { return file_.get(); }

  Result<std::size_t> read_at(std::int64_t offset, std::span<char> buffer) override {
    while (true) {
      ssize_t n = ::pread(file_.get(), buffer.data(), buffer.size(), offset);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) return errno_error(errno, fmt::format("read '{}'", path_));
    }
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    KILN_ASSIGN_OR_RETURN(std::size_t n, read_at(at_, buffer));
    at_ += static_cast<std::int64_t>(n);
    return n;
  }

 private:
  OpenFile file_;
  std::int64_t size_;
  std::int64_t at_;
  std::string path_;
};

}  // namespace

class FileBlobWriter final : public BlobWriter {
 public:
  FileBlobWriter(FileBlobStore& store, int fd, std::string path, std::string_view algorithm)
      : store_(store), file_(fd), path_(std::move(path)), hasher_(algorithm) {}

  ~FileBlobWriter() override {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  std::int64_t written() const override { return written_; }

  Status write(std::string_view bytes) override {
    hasher_.update(bytes);
    KILN_RETURN_IF_ERROR(write_whole(file_.get(), bytes, path_));
    written_ += static_cast<std::int64_t>(bytes.size());
    return ok();
  }

  Result<BlobInfo> commit(const CommitOptions& options) override {
    if (path_.empty()) return engine_error("blob committed twice");
    Digest digest = hasher_.finish();
    if (!options.digest.empty() && digest != options.digest) {
      return peer_error(Code::kFailedPrecondition,
                        fmt::format("unexpected commit digest {}, expected {}", digest.str(), options.digest.str()));
    }
    if (options.size >= 0 && written_ != options.size) {
      return peer_error(Code::kFailedPrecondition,
                        fmt::format("blob {} has {} bytes, expected {}", digest.str(), written_, options.size));
    }
    std::string target = store_.path_of(digest);
    // Before the name: after a power cut a blob is whole or not there, and a record may name it.
    if (::fdatasync(file_.get()) != 0) return errno_error(errno, fmt::format("write '{}' to the disk", path_));
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      return errno_error(errno, fmt::format("rename '{}' to '{}'", path_, target));
    }
    path_.clear();
    if (!options.labels.empty()) KILN_RETURN_IF_ERROR(store_.set_labels(digest, options.labels));
    KILN_ASSIGN_OR_RETURN(auto info, store_.info(digest));
    if (!info) return environment_error(Code::kNotFound, fmt::format("blob {} vanished at commit", digest.str()));
    return *std::move(info);
  }

 private:
  FileBlobStore& store_;
  OpenFile file_;
  std::string path_;  // empty once committed
  Hasher hasher_;
  std::int64_t written_ = 0;
};

namespace {

// Written to for the last time so long ago that its writer has gone.
bool is_abandoned(const std::string& path) {
  constexpr auto kIngestAgeMax = std::chrono::hours(24);
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && system_clock().now() - time_of(info.st_mtim) > kIngestAgeMax;
}

}  // namespace

FileBlobStore::~FileBlobStore() = default;

Result<std::unique_ptr<FileBlobStore>> FileBlobStore::open(std::string root, Owner owner) {
  KILN_RETURN_IF_ERROR(make_folder(root));
  for (const char* folder : {"/blobs", "/blobs/sha256", "/ingest"}) KILN_RETURN_IF_ERROR(make_folder(root + folder));
  if (owner == Owner::kAlone) {
    for (const char* folder : {"/labels", "/labels/sha256", "/labels/sha384", "/labels/sha512"})
      KILN_RETURN_IF_ERROR(make_folder(root + folder));
  }
  std::string ingest = root + "/ingest";
  KILN_RETURN_IF_ERROR(for_each_name(ingest, [&](std::string_view name) {
    const std::string path = fmt::format("{}/{}", ingest, name);
    if (owner == Owner::kAlone || is_abandoned(path)) ::unlink(path.c_str());
    return ok();
  }));
  return std::unique_ptr<FileBlobStore>(new FileBlobStore(std::move(root)));
}

std::string FileBlobStore::path_of(const Digest& digest) const {
  return fmt::format("{}/blobs/{}/{}", root_, digest.algorithm(), digest.hex());
}

std::string FileBlobStore::labels_path(const Digest& digest) const {
  return fmt::format("{}/labels/{}/{}.json", root_, digest.algorithm(), digest.hex());
}

StringMap FileBlobStore::read_labels(const Digest& digest) const {
  StringMap labels;
  int fd = ::open(labels_path(digest).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return labels;
  OpenFile file(fd);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  // A damaged label file loses the labels, not the blob.
  if (auto object = internal::parse_object("{\"labels\":" + text + "}", "labels"); object.ok()) {
    (void)internal::get(*object, "labels", labels);
  }
  return labels;
}

Result<std::optional<BlobInfo>> FileBlobStore::info(const Digest& digest) {
  if (digest.empty()) return std::optional<BlobInfo>();
  struct stat st {};
  std::string path = path_of(digest);
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return std::optional<BlobInfo>();
    return errno_error(errno, fmt::format("stat '{}'", path));
  }
  return std::optional<BlobInfo>(BlobInfo{digest, st.st_size, time_of(st.st_mtim), read_labels(digest)});
}

Result<std::unique_ptr<BlobReader>> FileBlobStore::open(const Digest& digest, std::int64_t offset) {
  std::string path = path_of(digest);
  int fd = digest.empty() ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (digest.empty() || errno == ENOENT) {
      return environment_error(Code::kNotFound, fmt::format("blob {} not found", digest.str()));
    }
    return errno_error(errno, fmt::format("open '{}'", path));
  }
  struct stat st {};
  if (::fstat(fd, &st) != 0) st.st_size = 0;
  auto reader = std::make_unique<FileBlobReader>(fd, st.st_size, offset, std::move(path));
  if (offset < 0 || offset > st.st_size) {
    return user_error(Code::kOutOfRange, fmt::format("offset {} is outside blob {}", offset, digest.str()));
  }
  return std::unique_ptr<BlobReader>(std::move(reader));
}

Result<std::unique_ptr<BlobWriter>> FileBlobStore::ingest(std::string_view algorithm) {
  if (algorithm != "sha256" && algorithm != "sha384" && algorithm != "sha512") {
    return user_error(Code::kInvalidArgument, fmt::format("unknown digest algorithm '{}'", algorithm));
  }
  if (algorithm != "sha256") KILN_RETURN_IF_ERROR(make_folder(fmt::format("{}/blobs/{}", root_, algorithm)));
  std::string path = fmt::format("{}/ingest/{}", root_, new_id());
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (fd < 0) return errno_error(errno, fmt::format("create '{}'", path));
  return std::unique_ptr<BlobWriter>(new FileBlobWriter(*this, fd, std::move(path), algorithm));
}

Status FileBlobStore::remove(const Digest& digest) {
  if (digest.empty()) return ok();
  std::string path = path_of(digest);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error(errno, fmt::format("remove '{}'", path));
  ::unlink(labels_path(digest).c_str());
  return ok();
}

Status FileBlobStore::walk(const std::function<Status(const BlobInfo&)>& visit) {
  for (std::string_view algorithm : {"sha256", "sha384", "sha512"}) {
    KILN_RETURN_IF_ERROR(for_each_name(fmt::format("{}/blobs/{}", root_, algorithm), [&](std::string_view name) {
      auto digest = Digest::parse(fmt::format("{}:{}", algorithm, name));
      if (!digest.ok()) return ok();  // not ours
      KILN_ASSIGN_OR_RETURN(auto found, info(*digest));
      return found ? visit(*found) : ok();
    }));
  }
  return ok();
}

Status FileBlobStore::set_labels(const Digest& digest, const StringMap& labels) {
  if (digest.empty() || ::access(path_of(digest).c_str(), F_OK) != 0) {
    return environment_error(Code::kNotFound, fmt::format("blob {} not found", digest.str()));
  }
  StringMap merged = read_labels(digest);
  for (const auto& [key, value] : labels) {
    if (value.empty()) {
      merged.erase(key);
    } else {
      merged[key] = value;
    }
  }
  JsonWriter w;
  w.begin_object();
  for (const auto& [key, value] : merged) {
    w.key(key);
    w.string(value);
  }
  w.end_object();
  std::string temp = fmt::format("{}/ingest/{}", root_, new_id());
  OpenFile file(::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return errno_error(errno, fmt::format("create '{}'", temp));
  KILN_RETURN_IF_ERROR(write_whole(file.get(), w.take(), temp));
  if (::rename(temp.c_str(), labels_path(digest).c_str()) != 0) {
    return errno_error(errno, fmt::format("rename '{}'", temp));
  }
  return ok();
}

Status FileBlobStore::sync() {
  OpenFile folder(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::syncfs(folder.get()) != 0) return errno_error(errno, fmt::format("sync '{}'", root_));
  return ok();
}

}  // namespace kiln::content
