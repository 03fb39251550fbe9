#include "source/single_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/text.h"
#include "host/fd.h"

namespace kiln::source {
namespace {

constexpr std::string_view kDefaultName = "download";

Status set_owner_and_time(int file, const FileWish& wish) {
  // Not by open's mode, which the umask would change.
  if (::fchmod(file, static_cast<mode_t>(wish.perm == 0 ? 0600 : wish.perm & 0777)) != 0)
    return errno_error(errno, "chmod " + wish.name);
  if ((wish.uid != 0 || wish.gid != 0) &&
      ::fchown(file, static_cast<uid_t>(wish.uid), static_cast<gid_t>(wish.gid)) != 0) {
    return errno_error(errno, "chown " + wish.name);
  }
  auto since = wish.mtime.value_or(Time{}).time_since_epoch();
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  timespec at{.tv_sec = seconds.count(),
              .tv_nsec = static_cast<long>(std::chrono::nanoseconds(since - seconds).count())};
  timespec times[2] = {at, at};
  if (::futimens(file, times) != 0) return errno_error(errno, "set times of " + wish.name);
  return ok();
}

}  // namespace

Result<SavedFile> save_file(store::Trees& trees, ByteSource& body, const FileWish& wish, store::TreeOptions options,
                            std::stop_token stop, const std::function<void(std::uint64_t)>& on_bytes) {
  KILN_ASSIGN_OR_RETURN(store::MutableRef work, trees.make_mutable(nullptr, options, stop));
  SavedFile saved;
  {
    KILN_ASSIGN_OR_RETURN(store::OpenTree open, work->open());
    host::Fd file(
        ::openat(open.root.get(), wish.name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file.get() < 0) return errno_error(errno, fmt::format("create '{}'", wish.name));
    Hasher hasher;
    std::string buffer(kChunkBytes, '\0');
    std::uint64_t total = 0;
    while (true) {
      if (stop.stop_requested()) return cancelled();
      KILN_ASSIGN_OR_RETURN(std::size_t got, body.read(std::span(buffer.data(), buffer.size())));
      if (got == 0) break;
      std::string_view bytes(buffer.data(), got);
      hasher.update(bytes);
      KILN_RETURN_IF_ERROR(host::write_all(file.get(), bytes));
      total += got;
      if (on_bytes) on_bytes(total);
    }
    saved.digest = hasher.finish();
    KILN_RETURN_IF_ERROR(set_owner_and_time(file.get(), wish));
  }
  KILN_ASSIGN_OR_RETURN(saved.tree, work->commit());
  return saved;
}

std::string safe_file_name(std::string_view name) {
  name = trim(name);
  while (name.ends_with('/')) name.remove_suffix(1);
  if (auto slash = name.rfind('/'); slash != std::string_view::npos) name = name.substr(slash + 1);
  bool control = false;
  for (unsigned char c : name) control = control || c < 0x20 || c == 0x7f;
  if (name.empty() || name == "." || name == ".." || control) return std::string(kDefaultName);
  return std::string(name);
}

Result<int> parse_number(const std::string& text) {
  auto bad = [&] { return user_error(Code::kInvalidArgument, fmt::format("'{}' is not a number", text)); };
  std::string digits = text;
  int base = 0;
  if (digits.starts_with("0o") || digits.starts_with("0O")) {
    digits = digits.substr(2);
    base = 8;
  }
  if (digits.empty()) return bad();
  char* end = nullptr;
  errno = 0;
  long value = std::strtol(digits.c_str(), &end, base);
  if (errno != 0 || *end != '\0' || value < INT32_MIN || value > INT32_MAX) return bad();
  return static_cast<int>(value);
}

}  // namespace kiln::source
