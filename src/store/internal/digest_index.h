// The content digests of one tree, as far as they are known: a tree of names that fills itself from
// disk where it is asked, directory by directory. Semantics: tree_digest.h.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "base/pool.h"
#include "base/status.h"
#include "event/miss.h"
#include "store/tree_digest.h"

struct stat;

namespace kiln::store {

// A sha256, or not known yet. Half the size of its text.
struct Sum {
  std::array<unsigned char, 32> bytes{};
  bool known = false;

  static Sum of(const Digest& digest);
  std::string text() const;  // "sha256:…"
};

// Remembers what files' digests were, by what stat(2) tells, across trees and builds: the files of
// lower layers are met again in every tree above. Any thread. Bounded.
class FileMemo {
 public:
  std::optional<Sum> find(const struct stat& info);
  void put(const struct stat& info, const Sum& sum);

 private:
  struct Key {
    std::uint64_t device, inode;
    std::int64_t size, mtime_ns, ctime_ns;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& k) const {
      return static_cast<std::size_t>((k.inode * 0x9E3779B97F4A7C15ull) ^ static_cast<std::uint64_t>(k.ctime_ns) ^
                                      (static_cast<std::uint64_t>(k.mtime_ns) << 1));
    }
  };
  static Key key_of(const struct stat& info);
  std::mutex mutex_;
  std::unordered_map<Key, Sum, Hash> sums_;
};

// One name in the tree.
struct DigestNode {
  enum class Type : std::uint8_t { kFile, kSymlink, kDirectory };
  Type type = Type::kFile;
  bool listed = false;  // children are complete
  std::string name;
  std::string link;
  Sum sum;                                            // file, link: its digest; directory: of all it holds
  Sum header;                                         // directory only
  std::vector<std::unique_ptr<DigestNode>> children;  // by name as bytes

  DigestNode* child(std::string_view want) const;
  // The child of that name, made when missing.
  DigestNode* make_child(std::string_view want);
};

// Any thread; one question at a time, others wait.
class DigestIndex {
 public:
  // How to get at the files, asked at most once a question: a directory descriptor of the tree's root.
  using OpenRoot = std::function<Result<int>()>;

  DigestIndex();

  Result<Digest> checksum(std::string_view path, const ChecksumOptions& options, const OpenRoot& open_root, Pool* pool,
                          FileMemo* memo, std::stop_token stop);

  Result<std::vector<event::FileSum>> listing(std::string_view path, const ChecksumOptions& options,
                                              const OpenRoot& open_root, std::size_t entries_max, std::stop_token stop);

  // Told by a writer. From the first telling on the index counts as complete: what it does not know
  // does not exist, and the root has an empty header, as for a synced build context.
  void seed(std::string_view path, const FileFacts& facts, const Digest& digest);
  void forget(std::string_view path);

  // Of this object, never of another.
  std::uint64_t instance() const { return instance_; }

  bool dirty() const { return dirty_; }
  std::string serialize();
  static Result<std::shared_ptr<DigestIndex>> parse(std::string_view bytes);

 private:
  friend class DigestQuestion;
  void begin_seeding();
  std::mutex mutex_;
  DigestNode root_;
  bool seeded_ = false;
  bool dirty_ = false;
  const std::uint64_t instance_;
};

}  // namespace kiln::store
