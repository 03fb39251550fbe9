#include "sandbox/user.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::sandbox {
namespace {

constexpr std::size_t kUserFileBytesMax = 10u << 20;

// A whole decimal number; nothing when it is none.
std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<std::uint32_t> plain_id(std::string_view text) {
  if (text == "root") return 0;
  std::optional<std::int64_t> value = whole_number(text);
  if (!value || *value < 0 || *value > 0xffffffffLL) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

// The file's text; empty when it is missing or no regular file.
Result<std::string> read_user_file(int root, std::string_view path) {
  Result<host::Fd> file = host::open_in_root(root, path, O_RDONLY | O_NONBLOCK);
  if (!file.ok()) return std::string();
  struct stat info;
  if (::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::string();
  Result<std::string> text = host::read_to_end(file->get(), kUserFileBytesMax);
  if (!text.ok()) {
    return user_error(Code::kInvalidArgument, fmt::format("\"{}\" exceeds {} bytes", path, kUserFileBytesMax));
  }
  return text;
}

Result<std::optional<std::uint32_t>> bounded_id(std::string_view text) {
  std::optional<std::int64_t> value = whole_number(text);
  if (!value) return std::optional<std::uint32_t>();
  if (*value < 0 || *value > 0x7fffffffLL) {
    return user_error(Code::kInvalidArgument, "uids and gids must be in range 0-2147483647");
  }
  return std::optional<std::uint32_t>(static_cast<std::uint32_t>(*value));
}

struct Entry {
  std::string_view name;
  std::uint32_t id = 0;     // uid, or gid of a group
  std::uint32_t group = 0;  // primary gid of a user
  std::string_view members;
  std::string_view home;
};

// Lines of passwd (name:x:uid:gid:…) or group (name:x:gid:members). `take` returns true to stop.
template <typename Take>
void each_entry(std::string_view text, bool groups, Take take) {
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    std::vector<std::string_view> fields = split(line, ':');
    auto field = [&](std::size_t i) { return i < fields.size() ? fields[i] : std::string_view(); };
    Entry entry{.name = field(0)};
    entry.id = static_cast<std::uint32_t>(whole_number(field(2)).value_or(0));
    if (groups) {
      entry.members = field(3);
    } else {
      entry.home = field(5);
      entry.group = static_cast<std::uint32_t>(whole_number(field(3)).value_or(0));
    }
    if (take(entry)) return;
  }
}

// The named or numbered group; a number needs no entry.
Result<std::uint32_t> find_group(std::string_view file, std::string_view text) {
  KILN_ASSIGN_OR_RETURN(std::optional<std::uint32_t> number, bounded_id(text));
  if (number) return *number;
  std::optional<std::uint32_t> found;
  each_entry(file, true, [&](const Entry& entry) {
    if (entry.name == text) found = entry.id;
    return found.has_value();
  });
  if (found) return *found;
  return user_error(Code::kInvalidArgument,
                    fmt::format("unable to find group {}: no matching entries in group file", text));
}

}  // namespace

Result<User> find_user(int root, std::string_view text) {
  auto with_primary = [](User user) {
    if (std::find(user.groups.begin(), user.groups.end(), user.gid) == user.groups.end()) {
      user.groups.insert(user.groups.begin(), user.gid);
    }
    return user;
  };
  const auto [name, group] = split_once(text, ':');
  if (text.find(':') != std::string_view::npos) {
    const std::optional<std::uint32_t> uid = plain_id(name), gid = plain_id(group);
    if (uid && gid) return with_primary({*uid, *gid, {}});
  }
  KILN_ASSIGN_OR_RETURN(const std::string passwd, read_user_file(root, "/etc/passwd"));
  KILN_ASSIGN_OR_RETURN(const std::string groups, read_user_file(root, "/etc/group"));
  const std::string_view wanted = name.empty() ? "0" : name;
  KILN_ASSIGN_OR_RETURN(std::optional<std::uint32_t> number, bounded_id(wanted));

  User user;
  std::string login;
  bool found = false;
  each_entry(passwd, false, [&](const Entry& entry) {
    if (number ? entry.id != *number : entry.name != wanted) return false;
    found = true;
    login = entry.name;
    user.uid = entry.id;
    user.gid = entry.group;
    return true;
  });
  if (!found) {
    if (!number) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("unable to find user {}: no matching entries in passwd file", wanted));
    }
    user.uid = *number;
  }
  if (!group.empty()) {
    KILN_ASSIGN_OR_RETURN(user.gid, find_group(groups, group));
  } else if (!login.empty()) {
    each_entry(groups, true, [&](const Entry& entry) {
      for (std::string_view member : split(entry.members, ',')) {
        if (member == login) user.groups.push_back(entry.id);
      }
      return false;
    });
  }
  return with_primary(std::move(user));
}

Result<std::string> home_of(int root, std::uint32_t uid) {
  KILN_ASSIGN_OR_RETURN(const std::string passwd, read_user_file(root, "/etc/passwd"));
  std::string home = "/";
  each_entry(passwd, false, [&](const Entry& entry) {
    if (entry.id != uid) return false;
    if (!entry.home.empty()) home = entry.home;
    return true;
  });
  return home;
}

}  // namespace kiln::sandbox
