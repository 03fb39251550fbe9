#include <fmt/format.h>
#include <sys/xattr.h>

#include <cerrno>

#include "host/fs.h"

namespace kiln::host {

namespace {

bool has_none(int error) { return error == ENOTSUP || error == ENOENT || error == ENODATA || error == EPERM; }

// Calls a listing or reading function with a buffer that grows until it is enough; nullopt with
// errno set on failure.
template <typename Call>
std::optional<std::string> fill(Call call) {
  std::string buffer(256, '\0');
  for (;;) {
    ssize_t n = call(buffer.data(), buffer.size());
    if (n >= 0) {
      buffer.resize(static_cast<std::size_t>(n));
      return buffer;
    }
    if (errno != ERANGE || buffer.size() >= (1 << 20)) return std::nullopt;
    buffer.resize(buffer.size() * 8);
  }
}

template <typename List, typename Get>
Result<Xattrs> collect(List list, Get get) {
  Xattrs found;
  std::optional<std::string> names = fill(list);
  if (!names) {
    if (has_none(errno)) return found;
    return errno_error(errno, "list extended attributes");
  }
  for (std::size_t at = 0; at < names->size();) {
    std::string name(names->c_str() + at);
    at += name.size() + 1;
    std::optional<std::string> value =
        fill([&](char* buffer, std::size_t size) { return get(name.c_str(), buffer, size); });
    if (value) found.emplace(std::move(name), std::move(*value));
  }
  return found;
}

}  // namespace

Result<Xattrs> xattrs_of(const std::string& path) {
  return collect(
      [&](char* buffer, std::size_t size) { return ::llistxattr(path.c_str(), buffer, size); },
      [&](const char* name, char* buffer, std::size_t size) { return ::lgetxattr(path.c_str(), name, buffer, size); });
}

Result<Xattrs> xattrs_of(int fd) {
  return collect([&](char* buffer, std::size_t size) { return ::flistxattr(fd, buffer, size); },
                 [&](const char* name, char* buffer, std::size_t size) { return ::fgetxattr(fd, name, buffer, size); });
}

std::optional<std::string> xattr_of(const std::string& path, const char* name) {
  return fill([&](char* buffer, std::size_t size) { return ::lgetxattr(path.c_str(), name, buffer, size); });
}

Status set_xattr(const std::string& path, const std::string& name, std::string_view value) {
  if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0) return ok();
  return errno_error(errno, fmt::format("set extended attribute '{}' of '{}'", name, path));
}

Status set_xattr(int fd, const std::string& name, std::string_view value) {
  if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) return ok();
  return errno_error(errno, fmt::format("set extended attribute '{}'", name));
}

Status remove_xattr(const std::string& path, const std::string& name) {
  if (::lremovexattr(path.c_str(), name.c_str()) == 0 || errno == ENODATA) return ok();
  return errno_error(errno, fmt::format("remove extended attribute '{}' of '{}'", name, path));
}

}  // namespace kiln::host
