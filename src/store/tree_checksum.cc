// Content digests of whole trees: keeps an index a tree, lately used ones in memory, those of kept
// trees on disk too.
#include <fmt/format.h>

#include "base/log.h"
#include "host/fs.h"
#include "store/internal/state.h"

namespace kiln::store {

namespace {

constexpr std::size_t kIndexesMax = 20;
constexpr std::size_t kIndexBytesMax = 1u << 30;

}  // namespace

std::shared_ptr<DigestIndex> TreesState::digest_index(const std::string& key) {
  {
    std::lock_guard lock(digests_mutex);
    for (auto at = digests.begin(); at != digests.end(); ++at) {
      if (at->first != key) continue;
      digests.splice(digests.begin(), digests, at);
      return digests.front().second;
    }
  }
  std::shared_ptr<DigestIndex> index;
  std::string file = fmt::format("{}/digests/{}", options.root, key);
  if (host::exists(file)) {
    Result<std::string> bytes = host::read_file(file, kIndexBytesMax);
    Result<std::shared_ptr<DigestIndex>> parsed = bytes.ok() ? DigestIndex::parse(*bytes) : bytes.status();
    if (parsed.ok()) {
      index = std::move(*parsed);
    } else {
      log_warn("content digests of '{}' are made anew: {}", key, message_of(parsed.status()));
    }
  }
  if (!index) index = std::make_shared<DigestIndex>();
  keep_digests(key, index);
  return index;
}

void TreesState::keep_digests(const std::string& key, std::shared_ptr<DigestIndex> index) {
  std::lock_guard lock(digests_mutex);
  digests.remove_if([&](const auto& entry) { return entry.first == key; });
  digests.emplace_front(key, std::move(index));
  if (digests.size() > kIndexesMax) digests.pop_back();
}

void TreesState::forget_digests(const std::string& key) {
  {
    std::lock_guard lock(digests_mutex);
    digests.remove_if([&](const auto& entry) { return entry.first == key; });
  }
  (void)host::remove_all(fmt::format("{}/digests/{}", options.root, key));
}

void TreesState::save_digests(const std::string& key, std::shared_ptr<DigestIndex> index) {
  keep_digests(key, index);
  if (!index->dirty()) return;
  in_background([this, key, index] {
    // Seeds that came later are saved by their own call; a torn file is told by its digest.
    Status saved = host::replace_file(fmt::format("{}/digests/{}", options.root, key), index->serialize(), 0600);
    if (!saved.ok()) log_warn("content digests of '{}' are not saved: {}", key, message_of(saved));
  });
}

// A frozen tree shares the index of its kept twin, which has the same directory.
std::shared_ptr<DigestIndex> TreesState::digest_index_of(const TreeRef& tree) {
  Tree::Body& b = body(tree);
  std::lock_guard lock(b.mutex);
  const std::string& key = tree->kind() == TreeKind::kLayer && !b.snapshot.empty() ? b.snapshot : tree->id();
  if (!b.digests) b.digests = digest_index(key);
  return b.digests;
}

Result<std::vector<event::FileSum>> Trees::files_of(const TreeRef& tree, std::string_view path,
                                                    const ChecksumOptions& options, std::size_t entries_max,
                                                    std::stop_token stop) {
  if (!tree) return std::vector<event::FileSum>();
  OpenTree files;
  auto open_root = [&]() -> Result<int> {
    if (!files.root.valid()) {
      KILN_ASSIGN_OR_RETURN(files, state_->open(tree, stop));
    }
    return files.root.get();
  };
  return state_->digest_index_of(tree)->listing(path, options, open_root, entries_max, stop);
}

Result<Digest> Trees::digest(const TreeRef& tree, std::string_view path, const ChecksumOptions& options,
                             std::stop_token stop) {
  if (!tree) {
    if (path == "/") return Digest::of("");
    return user_error(Code::kNotFound, fmt::format("{}: no such file or directory", path));
  }
  KILN_RETURN_IF_ERROR(state_->materialize(tree, stop).status());
  std::shared_ptr<DigestIndex> index = state_->digest_index_of(tree);
  OpenTree files;
  auto open_root = [&]() -> Result<int> {
    if (!files.root.valid()) {
      KILN_ASSIGN_OR_RETURN(files, state_->open(tree, stop));
    }
    return files.root.get();
  };
  return index->checksum(path, options, open_root, state_->options.pool, &state_->file_memo, stop);
}

}  // namespace kiln::store
