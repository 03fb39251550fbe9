#include "snapshot/internal/stacks.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/text.h"
#include "host/fs.h"

namespace kiln::snapshot {
namespace {

// Less than the kernel's 500: each lower directory costs a mount and each lookup some microseconds.
constexpr std::size_t kLowersMax = 200;
constexpr std::size_t kGroup = 100;

}  // namespace

Result<std::unique_ptr<Stacks>> Stacks::open(std::string dir, bool user_xattrs) {
  KILN_RETURN_IF_ERROR(host::remove_all(dir));
  return std::unique_ptr<Stacks>(new Stacks(std::move(dir), user_xattrs));
}

Result<std::vector<std::string>> Stacks::lower_dirs(const Chain& chain, const DirectoryOf& directory_of) {
  std::vector<std::string> out;
  std::size_t grouped = 0;
  while (chain.size() - grouped + out.size() > kLowersMax) {
    const auto from = chain.begin() + static_cast<std::ptrdiff_t>(grouped);
    KILN_ASSIGN_OR_RETURN(std::string group_dir, group(Chain(from, from + kGroup), directory_of));
    out.push_back(std::move(group_dir));
    grouped += kGroup;
  }
  for (std::size_t i = grouped; i < chain.size(); ++i) out.push_back(directory_of(chain[i]));
  return out;
}

Result<std::string> Stacks::group(const Chain& ids, const DirectoryOf& directory_of) {
  const std::string at = fmt::format("{}/{}", dir_, Digest::of(join(ids, "\n")).hex().substr(0, 32));
  std::lock_guard lock(mutex_);
  const auto [begin, end] = groups_of_.equal_range(ids.back());
  for (auto known = begin; known != end; ++known) {
    if (known->second == at) return at;
  }
  std::vector<std::string> layers;
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) layers.push_back(directory_of(*id));
  KILN_RETURN_IF_ERROR(host::make_dirs(at, 0700));
  if (Status written = write_stack(layers, at, user_xattrs_); !written.ok()) {
    (void)host::remove_all(at);
    return annotate(written, "join the layers of a long chain");
  }
  for (const std::string& id : ids) groups_of_.emplace(id, at);
  return at;
}

Status Stacks::forget(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (groups_of_.empty()) return ok();
  std::vector<std::string> gone;
  for (auto [at, end] = groups_of_.equal_range(id); at != end; ++at) gone.push_back(at->second);
  for (const std::string& dir : gone) {
    std::erase_if(groups_of_, [&](const auto& entry) { return entry.second == dir; });
    KILN_RETURN_IF_ERROR(host::remove_all(dir));
  }
  return ok();
}

}  // namespace kiln::snapshot
