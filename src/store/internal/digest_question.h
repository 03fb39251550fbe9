// One question to a DigestIndex: finds the nodes that the answer is made of, hashes what is not known
// yet, combines.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/patterns.h"
#include "event/miss.h"
#include "store/internal/digest_index.h"

namespace kiln::store {

// Used under the index's lock, by one thread; hashing uses the pool.
class DigestQuestion {
 public:
  DigestQuestion(DigestNode& root, const DigestIndex::OpenRoot& open_root, Pool* pool, FileMemo* memo,
                 std::stop_token stop)
      : root_(root), open_root_(open_root), pool_(pool), memo_(memo), stop_(stop) {}

  Result<Digest> answer(std::string_view path, const ChecksumOptions& options);
  // The entries that an answer was made of, by path; see Trees::files_of.
  Result<std::vector<event::FileSum>> listing(std::string_view path, const ChecksumOptions& options,
                                              std::size_t entries_max);
  // Whether anything became known that was not.
  bool learned() const { return learned_; }

 private:
  // A node and where it lies: "/a/b", "" for the root.
  struct Place {
    DigestNode* node = nullptr;  // null: nothing is there
    std::string path;
  };
  // Something selected: a file, a link or a directory's header.
  struct Selected {
    std::string path;       // in the words of the question, links unresolved
    std::string real_path;  // where it lies
    DigestNode* node = nullptr;
    bool follow = false;
  };
  struct Missing {
    DigestNode* node;
    std::string path;
  };
  class Selection;

  Result<Place> resolve(std::string_view path, bool follow_last);
  Result<Digest> digest_of(std::string_view path, bool follow_last);
  Status list(DigestNode& directory, const std::string& path);
  Status read_link(DigestNode& node, const std::string& path);
  Status collect_missing(DigestNode& node, const std::string& path, std::vector<Missing>& missing);
  Status hash_all(std::vector<Missing> missing);
  Result<Sum> hash_one(const DigestNode& node, const std::string& path, int root) const;
  Sum combine(DigestNode& node);
  Result<int> root();

  DigestNode& root_;
  const DigestIndex::OpenRoot& open_root_;
  Pool* pool_;
  FileMemo* memo_;
  std::stop_token stop_;
  std::optional<int> root_fd_;
  bool learned_ = false;
};

}  // namespace kiln::store
