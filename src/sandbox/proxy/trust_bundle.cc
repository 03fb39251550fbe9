#include "sandbox/proxy/trust_bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/gopath.h"
#include "base/id.h"
#include "base/log.h"
#include "host/fs.h"

namespace kiln::sandbox::proxy {
namespace {

constexpr const char* kBundles[] = {"etc/ssl/certs/ca-certificates.crt",
                                    "etc/pki/tls/certs/ca-bundle.crt",
                                    "etc/ssl/ca-bundle.pem",
                                    "etc/pki/tls/cacert.pem",
                                    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                                    "etc/ssl/cert.pem"};
constexpr std::string_view kBegin = "\n# buildkit proxy CA begin\n";
constexpr std::string_view kEnd = "# buildkit proxy CA end\n";
constexpr std::size_t kBundleMax = 10u << 20;

// The bundle's path without links; empty when the tree has none.
Result<std::string> find_bundle(int root) {
  for (const char* name : kBundles) {
    KILN_ASSIGN_OR_RETURN(const std::string path, host::resolve_in_root(root, name, host::FollowLast::kYes));
    KILN_ASSIGN_OR_RETURN(const std::optional<struct stat> info, host::stat_in_root(root, path, host::FollowLast::kNo));
    if (info && S_ISREG(info->st_mode)) return path;
  }
  return std::string();
}

struct Read {
  std::string text;
  struct stat info {};
};

Result<Read> read_bundle(int root, const std::string& path) {
  KILN_ASSIGN_OR_RETURN(const host::Fd file, host::open_in_root(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  Read out;
  if (::fstat(file.get(), &out.info) != 0 || !S_ISREG(out.info.st_mode)) {
    return user_error(Code::kFailedPrecondition, fmt::format("/{} is not a regular file", path));
  }
  KILN_ASSIGN_OR_RETURN(out.text, host::read_to_end(file.get(), kBundleMax + 1));
  if (out.text.size() > kBundleMax)
    return user_error(Code::kFailedPrecondition, fmt::format("/{} exceeds {} bytes", path, kBundleMax));
  return out;
}

// A new file in the old one's place, with its mode and owner, so that a reader never sees half of it.
// The folder looks as if nothing had happened.
Status replace(int root, const std::string& path, std::string_view text, const struct stat& like,
               const struct timespec* times) {
  KILN_ASSIGN_OR_RETURN(const host::Fd folder, host::open_in_root(root, dir_name(path), O_RDONLY | O_DIRECTORY));
  struct stat folder_before {};
  if (::fstat(folder.get(), &folder_before) != 0) return errno_error(errno, fmt::format("write '/{}'", path));
  const std::string name = ".kiln-ca-" + new_id();
  host::Fd file(::openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return errno_error(errno, fmt::format("write '/{}'", path));
  Status written = host::write_all(file.get(), text);
  if (written.ok() &&
      (::fchown(file.get(), like.st_uid, like.st_gid) != 0 || ::fchmod(file.get(), like.st_mode & 07777) != 0 ||
       (times != nullptr && ::futimens(file.get(), times) != 0))) {
    written = errno_error(errno, fmt::format("write '/{}'", path));
  }
  if (written.ok() && ::renameat(folder.get(), name.c_str(), folder.get(), std::string(base_name(path)).c_str()) != 0) {
    written = errno_error(errno, fmt::format("write '/{}'", path));
  }
  if (!written.ok()) (void)::unlinkat(folder.get(), name.c_str(), 0);
  const struct timespec folder_times[2] = {folder_before.st_atim, folder_before.st_mtim};
  (void)::futimens(folder.get(), folder_times);
  return written;
}

}  // namespace

std::string with_certificate(std::string_view bundle, std::string_view pem) {
  std::string out(bundle);
  if (!out.empty() && !out.ends_with('\n')) out += '\n';
  out.append(kBegin).append(pem);
  if (!pem.ends_with('\n')) out += '\n';
  return out.append(kEnd);
}

std::string without_certificate(std::string_view bundle, std::string_view pem) {
  std::string out(bundle);
  std::string block = with_certificate("", pem);
  if (const std::size_t at = out.find(block); at != std::string::npos) out.erase(at, block.size());
  // A tool may have rebuilt the list from its parts and taken the certificate over.
  for (std::size_t at; !pem.empty() && (at = out.find(pem)) != std::string::npos;) out.erase(at, pem.size());
  return out;
}

Result<TrustBundle> TrustBundle::extend(int root, std::string_view pem) {
  TrustBundle out;
  KILN_ASSIGN_OR_RETURN(std::string path, find_bundle(root));
  if (path.empty()) return out;
  KILN_ASSIGN_OR_RETURN(Read before, read_bundle(root, path));
  if (before.text.find(pem) != std::string::npos) return out;
  std::string extended = with_certificate(before.text, pem);
  const Status written = replace(root, path, extended, before.info, nullptr);
  if (errno_of(written) == EROFS) return out;
  KILN_RETURN_IF_ERROR(written);
  out.root_ = host::Fd(::fcntl(root, F_DUPFD_CLOEXEC, 3));
  out.path_ = std::move(path);
  out.pem_ = pem;
  out.extended_ = std::move(extended);
  out.times_[0] = before.info.st_atim;
  out.times_[1] = before.info.st_mtim;
  return out;
}

void TrustBundle::restore() {
  const std::string path = std::exchange(path_, {});
  if (path.empty()) return;
  Result<Read> now = read_bundle(root_.get(), path);
  if (is_not_found(now.status())) return;
  const bool untouched = now.ok() && now->text == extended_;
  const std::string text = now.ok() ? without_certificate(now->text, pem_) : "";
  Status done = now.status();
  if (done.ok() && text != now->text) done = replace(root_.get(), path, text, now->info, untouched ? times_ : nullptr);
  if (!done.ok()) log_warn("the proxy's certificate stays in '/{}': {}", path, message_of(done));
  root_.reset();
}

TrustBundle::TrustBundle(TrustBundle&& other) noexcept { *this = std::move(other); }

TrustBundle& TrustBundle::operator=(TrustBundle&& other) noexcept {
  root_ = std::move(other.root_);
  path_ = std::exchange(other.path_, {});
  pem_ = std::move(other.pem_);
  extended_ = std::move(other.extended_);
  times_[0] = other.times_[0];
  times_[1] = other.times_[1];
  return *this;
}

TrustBundle::~TrustBundle() { restore(); }

}  // namespace kiln::sandbox::proxy
