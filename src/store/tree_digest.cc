#include "store/tree_digest.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace kiln::store {

namespace {

char tar_type(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return '5';
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFIFO: return '6';
    default:  // sockets count as files
      return '0';
  }
}

}  // namespace

FileDigester::FileDigester(const FileFacts& facts) {
  const bool link = S_ISLNK(facts.mode);
  const char type = tar_type(facts.mode);
  const std::uint32_t mode = (facts.mode & 07777) | (link ? 0777 : 0);
  const std::int64_t size = type == '0' ? facts.size : 0;
  hasher_.update(fmt::format("namemode{}uid{}gid{}size{}typeflag{}linkname{}unamegnamedevmajor{}devminor{}", mode,
                             facts.uid, facts.gid, size, type, link ? facts.link : "", facts.dev_major,
                             facts.dev_minor));
  for (const auto& [name, value] : facts.xattrs) {
    bool counts = name == "security.capability" || (!name.starts_with("security.") && !name.starts_with("system."));
    if (!counts) continue;
    hasher_.update(name);
    hasher_.update(value);
  }
}

}  // namespace kiln::store
