// The client's own files as a source: local://context. The files lie in a tree that is kept from
// build to build and brought up to date, so that only what changed travels; each build sees it as an
// immutable tree.
//
//   auto local = std::make_shared<LocalSource>(LocalSourceOptions{.trees = &trees, .dir = root + "/local"});
//   sources.add(local);
//   trees_options.on_removed = [=](const std::string& id) { forget_local_index(root + "/local", id); };
//
// A kept tree is found by what the client says of the directory (its shared key), the source's name
// and a hint. Beside it lies an index of what was written: the next sync compares the client's list
// with the index, not with the disk. An index is good for one boot of the machine, because nothing is
// synced to the disk; without one the tree starts anew.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "session/files.h"
#include "source/source.h"
#include "store/trees.h"

namespace kiln::source {

struct LocalSourceOptions {
  store::Trees* trees = nullptr;  // outlives the source
  std::string dir;                // for the indexes; made when missing
};

// One directory with what is wanted of it. A value.
struct LocalWish {
  session::FileRequest request;
  std::string session_id;  // "": the first of the asker's
  std::string shared_key_hint;
  // As given, for the key: absent is told from empty.
  std::optional<std::vector<std::string>> include_patterns, exclude_patterns, follow_paths;
};

// Any thread.
class LocalSource final : public Source, public std::enable_shared_from_this<LocalSource> {
 public:
  explicit LocalSource(LocalSourceOptions options);
  ~LocalSource() override;
  std::vector<std::string> schemes() const override { return {"local"}; }
  Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) override;

  // Syncs and shows the result. Blocking, cancellable.
  Result<store::TreeRef> sync(const LocalWish& wish, const Asker& asker);

 private:
  // A taken tree with what is known of it.
  struct Kept {
    std::shared_ptr<session::TreeIndex> index;
    std::uint64_t digests_instance = 0;  // of the store's digests that this process told all of; 0: none
  };
  Result<store::TreeRef> sync_from(const LocalWish& wish, session::FileGiver& client, const Asker& asker);
  Result<store::MutableRef> take(const std::string& index_key, const std::string& description, Kept& kept);
  std::string index_file(const std::string& tree_id) const;
  void remember(const std::string& tree_id, const Kept& kept);
  void forget(const std::string& tree_id);
  std::optional<Kept> recall(const std::string& tree_id);

  LocalSourceOptions options_;
  std::mutex mutex_;
  // What is known of the trees used last, so that it need not be read.
  std::vector<std::pair<std::string, Kept>> recent_;
};

// Removes the index of a tree that is gone.
void forget_local_index(const std::string& dir, const std::string& tree_id);

// InvalidArgument for attributes that make no sense.
Result<LocalWish> read_local_wish(const graph::SourceOp& op);
// The key of such a directory as a client of this session gives it.
Key local_key(const LocalWish& wish, const std::string& session_id);

}  // namespace kiln::source
