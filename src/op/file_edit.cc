#include "op/file_edit.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/glob.h"
#include "base/gopath.h"
#include "base/text.h"
#include "host/fs.h"

namespace kiln::op {
namespace {

using host::FollowLast;

// A relative path for *at calls.
const char* at_name(const std::string& path) { return path.empty() ? "." : path.c_str(); }

std::string absolute(std::string_view relative) { return fmt::format("/{}", relative); }

}  // namespace

Status go_error(int errno_value, std::string_view op, std::string_view path) {
  std::string text = std::strerror(errno_value);
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  const bool disk = errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EIO;
  const Status kind = errno_error(errno_value, "");
  return make_error(disk ? Fault::kEnvironment : Fault::kUser, kind.code(), fmt::format("{} {}: {}", op, path, text));
}

Status stamp_entry(int root, const std::string& path, const Stamp& stamp) {
  if (stamp.owner && ::fchownat(root, at_name(path), stamp.owner->uid, stamp.owner->gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return go_error(errno, "lchown", absolute(path));
  }
  if (stamp.timestamp != -1) {
    std::int64_t seconds = stamp.timestamp / 1'000'000'000, rest = stamp.timestamp % 1'000'000'000;
    if (rest < 0) {
      --seconds;
      rest += 1'000'000'000;
    }
    struct timespec times[2] = {{seconds, rest}, {seconds, rest}};
    if (::utimensat(root, at_name(path), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return go_error(errno, "failed to utime", absolute(path));
    }
  }
  return ok();
}

Result<std::vector<std::string>> make_missing_dirs(int root, const std::string& path, std::uint32_t mode,
                                                   const Stamp& stamp) {
  std::vector<std::string> made;
  std::string current;
  for (std::string_view part : split(path, '/')) {
    if (part.empty()) continue;
    current = current.empty() ? std::string(part) : fmt::format("{}/{}", current, part);
    if (::mkdirat(root, current.c_str(), mode & 07777) == 0) {
      if (::fchmodat(root, current.c_str(), mode & 07777, 0) != 0) return go_error(errno, "chmod", absolute(current));
      made.push_back(current);
      continue;
    }
    if (errno != EEXIST) return go_error(errno, "mkdir", absolute(current));
    struct stat info;
    if (::fstatat(root, current.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return go_error(errno, "lstat", absolute(current));
    if (!S_ISDIR(info.st_mode)) return go_error(ENOTDIR, "mkdir", absolute(current));
  }
  // Innermost first, as making one in another changes the outer one's time.
  for (auto at = made.rbegin(); at != made.rend(); ++at) KILN_RETURN_IF_ERROR(stamp_entry(root, *at, stamp));
  return made;
}

Status make_directory(int root, const graph::MkdirAction& action, const std::optional<Owner>& owner) {
  KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(root, action.path, FollowLast::kYes));
  const auto mode = static_cast<std::uint32_t>(action.mode) & 0777;
  const Stamp stamp{owner, action.timestamp};
  if (action.make_parents) return make_missing_dirs(root, path, mode, stamp).status();
  if (::mkdirat(root, at_name(path), mode) != 0) {
    if (errno == EEXIST) return ok();
    return go_error(errno, "mkdir", absolute(path));
  }
  if (::fchmodat(root, path.c_str(), mode, 0) != 0) return go_error(errno, "chmod", absolute(path));
  return stamp_entry(root, path, stamp);
}

Status make_file(int root, const graph::MkfileAction& action, const std::optional<Owner>& owner) {
  KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(root, join_path("/", action.path), FollowLast::kYes));
  const auto mode = static_cast<std::uint32_t>(action.mode) & 0777;
  int fd = ::openat(root, at_name(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  const bool made = fd >= 0;
  if (!made && errno == EEXIST) fd = ::openat(root, at_name(path), O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return go_error(errno, "open", absolute(path));
  host::Fd file(fd);
  KILN_RETURN_IF_ERROR(host::write_all(fd, action.data));
  if (made && ::fchmod(fd, mode) != 0) return go_error(errno, "chmod", absolute(path));
  file.reset();
  return stamp_entry(root, path, {owner, action.timestamp});
}

Status make_symlink(int root, const graph::SymlinkAction& action, const std::optional<Owner>& owner) {
  KILN_ASSIGN_OR_RETURN(std::string path,
                        host::resolve_in_root(root, join_path("/", action.new_path), FollowLast::kYes));
  if (::symlinkat(action.old_path.c_str(), root, at_name(path)) != 0) {
    return go_error(errno, "symlink " + action.old_path, absolute(path));
  }
  return stamp_entry(root, path, {owner, action.timestamp});
}

namespace {

Status remove_one(int root, std::string_view path, bool allow_not_found, std::stop_token stop) {
  const std::string clean = join_path("/", path);
  if (clean == "/") return user_error(Code::kInvalidArgument, "rmPath: invalid empty path");
  KILN_ASSIGN_OR_RETURN(std::string resolved, host::resolve_in_root(root, clean, FollowLast::kNo));
  if (resolved.empty()) return user_error(Code::kInvalidArgument, "rmPath: invalid empty path");
  struct stat info;
  if (::fstatat(root, resolved.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT && !allow_not_found) return go_error(errno, "stat", absolute(resolved));
    if (errno == ENOENT || errno == ENOTDIR) return ok();
  }
  return host::remove_all_at(root, resolved, stop);
}

}  // namespace

Status remove_path(int root, const graph::RmAction& action, std::stop_token stop) {
  if (!action.allow_wildcard) return remove_one(root, action.path, action.allow_not_found, stop);
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> paths, resolve_wildcards(root, clean_keeping_end(action.path), false));
  for (const std::string& path : paths) KILN_RETURN_IF_ERROR(remove_one(root, path, action.allow_not_found, stop));
  return ok();
}

std::string clean_keeping_end(std::string_view path) {
  std::string clean = join_path("/", path);
  if (path.ends_with("/.")) return clean == "/" ? "/." : clean + "/.";
  if (path.ends_with('/') && clean != "/") return clean + "/";
  return clean;
}

bool has_wildcards(std::string_view pattern) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '[') return true;
    if (pattern[i] == '\\') ++i;
  }
  return false;
}

namespace {

// What matches the elements `pattern[at…]` in the directory `path`; links are not entered.
Status match_below(int root, const std::string& path, const std::vector<std::string>& pattern, std::size_t at,
                   std::vector<std::string>& found) {
  KILN_ASSIGN_OR_RETURN(host::Fd dir,
                        host::open_at(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(dir.get()));
  for (const std::string& name : names) {
    Result<bool> hit = glob_match(pattern[at], name);
    if (!hit.ok() || !*hit) continue;
    std::string here = path.empty() ? name : path + "/" + name;
    if (at + 1 == pattern.size()) {
      found.push_back(std::move(here));
      continue;
    }
    struct stat info;
    if (::fstatat(dir.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(info.st_mode)) continue;
    KILN_RETURN_IF_ERROR(match_below(root, here, pattern, at + 1, found));
  }
  return ok();
}

}  // namespace

Result<std::vector<std::string>> resolve_wildcards(int root, std::string_view pattern, bool follow_last) {
  std::string literal;
  std::vector<std::string> rest;
  const std::string clean = clean_path(pattern);
  for (std::string_view part : split(clean, '/')) {
    if (part.empty()) continue;
    if (rest.empty() && !has_wildcards(part)) {
      literal += '/';
      literal += part;
    } else {
      rest.emplace_back(part);
    }
  }
  if (rest.empty()) return std::vector<std::string>{literal.empty() ? "/" : literal};
  KILN_ASSIGN_OR_RETURN(std::string base,
                        host::resolve_in_root(root, literal, follow_last ? FollowLast::kYes : FollowLast::kNo));
  struct stat info;
  if (::fstatat(root, at_name(base), &info, AT_SYMLINK_NOFOLLOW) != 0) return go_error(errno, "lstat", absolute(base));
  std::vector<std::string> found;
  if (S_ISDIR(info.st_mode)) KILN_RETURN_IF_ERROR(match_below(root, base, rest, 0, found));
  return found;
}

}  // namespace kiln::op
