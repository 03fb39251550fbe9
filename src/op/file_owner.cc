#include "op/file_owner.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>
#include <string>
#include <vector>

#include "base/text.h"
#include "host/fs.h"

namespace kiln::op {
namespace {

constexpr std::size_t kDatabaseBytesMax = 10 << 20;

// The fields of the first line whose first field is the name; none when there is no such line or file.
Result<std::vector<std::string>> find_line(int root, const std::string& path, std::string_view name) {
  std::vector<std::string> fields;
  Result<host::Fd> file = host::open_in_root(root, path, O_RDONLY | O_NONBLOCK);
  if (!file.ok()) {
    std::optional<int> error = errno_of(file.status());
    if (error == ENOENT || error == ENOTDIR) return fields;
    return file.status();
  }
  struct stat info;
  if (::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return user_error(Code::kFailedPrecondition, fmt::format("{} is not a regular file", path));
  }
  Result<std::string> text = host::read_to_end(file->get(), kDatabaseBytesMax);
  if (!text.ok()) {
    return user_error(Code::kFailedPrecondition, fmt::format("\"{}\" exceeds {} bytes", path, kDatabaseBytesMax));
  }
  for (std::string_view line : split(*text, '\n')) {
    std::vector<std::string_view> parts = split(trim(line), ':');
    if (parts.empty() || parts[0] != name || line.empty()) continue;
    for (std::string_view part : parts) fields.emplace_back(part);
    return fields;
  }
  return fields;
}

std::uint32_t id_at(const std::vector<std::string>& fields, std::size_t index) {
  std::uint32_t id = 0;
  if (index < fields.size()) std::from_chars(fields[index].data(), fields[index].data() + fields[index].size(), id);
  return id;
}

}  // namespace

Result<std::optional<Owner>> find_owner(const std::optional<graph::Chown>& chown, const OpenInput& open_input) {
  if (!chown) return std::optional<Owner>();
  Owner owner;
  auto look_up = [&](const graph::NamedUser& named, const char* database) -> Result<std::vector<std::string>> {
    if (named.input < 0) return user_error(Code::kInvalidArgument, fmt::format("invalid user index: {}", named.input));
    KILN_ASSIGN_OR_RETURN(int root, open_input(named.input));
    return find_line(root, database, named.name);
  };
  if (chown->user) {
    if (const auto* named = std::get_if<graph::NamedUser>(&*chown->user)) {
      KILN_ASSIGN_OR_RETURN(std::vector<std::string> fields, look_up(*named, "/etc/passwd"));
      owner = {id_at(fields, 2), id_at(fields, 3)};
    } else if (const auto* id = std::get_if<std::uint32_t>(&*chown->user)) {
      owner = {*id, *id};
    }
  }
  if (chown->group) {
    if (const auto* named = std::get_if<graph::NamedUser>(&*chown->group)) {
      KILN_ASSIGN_OR_RETURN(std::vector<std::string> fields, look_up(*named, "/etc/group"));
      if (!fields.empty()) owner.gid = id_at(fields, 2);
    } else if (const auto* id = std::get_if<std::uint32_t>(&*chown->group)) {
      owner.gid = *id;
    }
  }
  return std::optional(owner);
}

}  // namespace kiln::op
