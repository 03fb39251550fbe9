#include "daemon/temporary_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/digest.h"
#include "base/log.h"
#include "host/fs.h"
#include "host/mount.h"

namespace kiln::daemon {
namespace {

// Below /tmp anybody may have made it, or have put a link there.
bool is_ours(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & 077) == 0;
}

Status empty(const std::string& path) {
  KILN_RETURN_IF_ERROR(host::unmount_below(path));
  return host::remove_all(path);
}

}  // namespace

Result<TemporaryFolder> TemporaryFolder::take(const std::string& root) {
  const char* env = ::getenv("TMPDIR");
  const std::string base = env && *env ? env : "/tmp";
  std::string path = fmt::format("{}/kiln-{}", base, Digest::of(root).hex().substr(0, 12));
  if (is_ours(path)) {
    if (Status gone = empty(path); !gone.ok()) log_warn("remove what an earlier daemon left: {}", message_of(gone));
  }
  if (::mkdir(path.c_str(), 0700) != 0) {
    KILN_ASSIGN_OR_RETURN(host::TempDir fresh, host::TempDir::make("kiln-", base));
    path = fresh.release();
  }
  ::setenv("TMPDIR", path.c_str(), 1);
  return TemporaryFolder(std::move(path));
}

TemporaryFolder::~TemporaryFolder() {
  if (!path_.empty()) (void)host::remove_all(path_);
}

}  // namespace kiln::daemon
