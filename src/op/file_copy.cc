#include "op/file_copy.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/gopath.h"
#include "host/fs.h"
#include "op/copied_attributes.h"
#include "op/copy_entry.h"
#include "op/file_edit.h"
#include "op/file_unpack.h"

namespace kiln::op {
namespace {

// Of folders that come to be on the way: what --chmod says, without the set-id and sticky bits.
std::uint32_t folder_mode(const CopiedAttributes& attributes) {
  return attributes.mode != -1 ? static_cast<std::uint32_t>(attributes.mode) & 0777 : 0755;
}

using host::Fd;
using host::FollowLast;

const char* at_name(const std::string& path) { return path.empty() ? "." : path.c_str(); }
std::string absolute(std::string_view relative) { return fmt::format("/{}", relative); }

std::string parent_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::optional<struct stat> stat_at(int dir, const std::string& name) {
  struct stat info;
  if (::fstatat(dir, at_name(name), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return info;
}

// Where one source goes, with the directories on the way made.
struct Target {
  std::string path;
  std::vector<std::string> made;
};

Result<Target> prepare_target(int source_root, const std::string& followed, const std::string& source, int target_root,
                              std::string target, const graph::CopyAction& action, const CopiedAttributes& attributes) {
  std::optional<struct stat> from = stat_at(source_root, followed);
  if (!from) return go_error(errno, "lstat", absolute(followed));
  std::optional<struct stat> to = stat_at(target_root, target);
  if (!to && errno != ENOENT)
    return annotate(go_error(errno, "stat", absolute(target)), "failed to lstat destination path");
  const bool from_dir = S_ISDIR(from->st_mode);
  if ((!action.dir_copy_contents && from_dir && to) || (!from_dir && to && S_ISDIR(to->st_mode))) {
    target = join_path({target, base_name(source)});
    if (target == "/" || target == ".") target.clear();
    if (target.starts_with('/')) target.erase(0, 1);
  }
  std::string directory = action.dir_copy_contents && from_dir && !to ? target : parent_of(target);
  Target out{std::move(target), {}};
  KILN_ASSIGN_OR_RETURN(out.made, make_missing_dirs(target_root, directory, folder_mode(attributes), attributes.stamp));
  return out;
}

// One source, free of wildcards.
Status copy_one(int source_root, const std::string& source, int target_root, const std::string& dest,
                const graph::CopyAction& action, const CopiedAttributes& attributes, std::stop_token stop) {
  std::vector<std::string> made;
  const std::uint32_t dir_mode = folder_mode(attributes);
  // "/a/b/" and "/a/b/." must be directories; of "/a/b" only "/a".
  std::string_view end = std::string_view(dest).substr(dest.rfind('/') + 1);
  std::string ensured = end.empty() || end == "." ? dest : dest.substr(0, dest.size() - end.size());
  KILN_ASSIGN_OR_RETURN(std::string ensured_path, host::resolve_in_root(target_root, ensured, FollowLast::kYes));
  KILN_ASSIGN_OR_RETURN(made, make_missing_dirs(target_root, ensured_path, dir_mode, attributes.stamp));

  KILN_ASSIGN_OR_RETURN(std::string target, host::resolve_in_root(target_root, clean_path(dest), FollowLast::kYes));
  KILN_ASSIGN_OR_RETURN(std::string followed,
                        host::resolve_in_root(source_root, join_path("/", source),
                                              action.follow_symlink ? FollowLast::kYes : FollowLast::kNo));
  KILN_ASSIGN_OR_RETURN(Target place,
                        prepare_target(source_root, followed, source, target_root, target, action, attributes));
  KILN_RETURN_IF_ERROR(copy_entry({source_root, followed}, {target_root, place.path}, action, attributes, stop));
  if (attributes.stamp.timestamp == -1) return ok();
  // Copying into them changed the times of the directories made on the way.
  made.insert(made.end(), place.made.begin(), place.made.end());
  for (auto dir = made.rbegin(); dir != made.rend(); ++dir) {
    KILN_RETURN_IF_ERROR(stamp_entry(target_root, *dir, {std::nullopt, attributes.stamp.timestamp}));
  }
  return ok();
}

Status check_dest_exists(int target, const graph::CopyAction& action) {
  KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(target, join_path("/", action.dest), FollowLast::kYes));
  std::string parent = parent_of(path);
  if (stat_at(target, parent)) return ok();
  return annotate(go_error(errno, "lstat", absolute(parent)), "failed to stat " + action.dest);
}

}  // namespace

Status copy_files(int source, int target, const graph::CopyAction& action, const std::optional<Owner>& owner,
                  std::uint64_t archive_bytes_max, std::stop_token stop) {
  const std::string from = clean_keeping_end(action.src), dest = clean_keeping_end(action.dest);
  if (!action.create_dest_path) KILN_RETURN_IF_ERROR(check_dest_exists(target, action));
  CopiedAttributes attributes{{owner, action.timestamp}, action.mode, std::nullopt};
  if (!action.mode_str.empty()) {
    KILN_ASSIGN_OR_RETURN(attributes.change, ModeChange::parse(action.mode_str));
    attributes.mode = -1;
  }
  std::vector<std::string> sources = {from};
  if (action.allow_wildcard) {
    KILN_ASSIGN_OR_RETURN(sources, resolve_wildcards(source, from, action.follow_symlink));
    if (sources.empty()) {
      if (action.allow_empty_wildcard) return ok();
      return user_error(Code::kNotFound, fmt::format("{} not found", from));
    }
  }
  for (const std::string& one : sources) {
    if (action.attempt_unpack) {
      KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(source, one, FollowLast::kYes));
      KILN_ASSIGN_OR_RETURN(std::string into, host::resolve_in_root(target, dest, FollowLast::kYes));
      KILN_ASSIGN_OR_RETURN(bool unpacked,
                            unpack_archive(source, path, target, into, attributes.stamp, archive_bytes_max, stop));
      if (unpacked) continue;
    }
    KILN_RETURN_IF_ERROR(copy_one(source, one, target, dest, action, attributes, stop));
  }
  return ok();
}

}  // namespace kiln::op
