// Files of a client: the port through which a step gets a build context, and the record that makes
// the second time cheap. The client walks its directory and tells every entry; the receiver asks for
// the contents of what changed, writes it, and removes what is gone.
//
//   TreeIndex index = TreeIndex::load(dir + ".index");
//   asker.with_client("", [&](FileGiver& client) {
//     return client.sync(request, {.dir = dir, .index = &index, .progress = …}, stop); }, stop);
//
// Protocol: FileSync.DiffCopy, packets of fsutil.types (internal/packet.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "session/file_stat.h"
#include "session/file_tree.h"
#include "session/session.h"

namespace kiln::session {

enum class Differ {
  kMetadata,  // size, times, mode, owner and links decide whether a file is fetched
  kNone,      // fetch everything
};

struct FileRequest {
  std::string name;  // "context", "dockerfile": the client knows the directory
  TreeFilter filter;
  Differ differ = Differ::kMetadata;
  // Only the entries that `metadata_exceptions` match get written; all are listed in the file
  // ".fsutil-metadata" of the tree (length-prefixed Stats).
  bool metadata_only = false;
  std::vector<std::string> metadata_exceptions;
};

// Computes what an index remembers of a file's contents, while they pass. One thread at a time.
class ContentHasher {
 public:
  virtual ~ContentHasher() = default;
  virtual void update(std::string_view bytes) = 0;
  virtual Digest finish() = 0;
};

// What a received tree holds, in the order of a walk; stands in for a look at the disk: what the
// client told of each entry, and the digest of the contents of a file (none for all else; that of the
// first name for hard links). Whoever owns the tree keeps it beside the tree; nobody else may write
// into the tree. One thread. About a hundred bytes an entry, in memory as on disk.
// Format: docs/formats/tree-index.md.
class TreeIndex {
 public:
  // Empty when there is none or it is unreadable; then the tree must be empty, too.
  static TreeIndex load(const std::string& file);
  Status save(const std::string& file) const;

  std::size_t size() const { return starts_.size(); }
  bool empty() const { return starts_.empty(); }
  void clear();

  // Entries by position.
  std::string_view path(std::size_t entry) const;
  FileStat stat(std::size_t entry) const;
  Digest digest(std::size_t entry) const;  // empty: none
  // The position of a path.
  std::optional<std::size_t> find(std::string_view path) const;

  // Behind all others, by compare_paths.
  void append(const FileStat& stat, const Digest& digest);
  // An entry of another index as it is.
  void append(const TreeIndex& from, std::size_t entry);
  // Only for entries without one; of sha256.
  void set_digest(std::size_t entry, const Digest& digest);

 private:
  bool read_starts();
  std::string bytes_;                  // entry after entry
  std::vector<std::uint64_t> starts_;  // of each entry in bytes_
};

// Where a sync writes, and what it learns.
struct SyncTarget {
  std::string dir;  // exists; written by this sync only
  // Of `dir`, brought up to date. After an error that came behind before_change, `dir` is undefined
  // and the index empty; else both are as they were.
  TreeIndex* index = nullptr;
  // Makes the digests of the index; sha256 of the contents when null.
  std::function<std::unique_ptr<ContentHasher>(const FileStat&)> hasher;
  // Called once, before anything on disk is touched; not at all when nothing changed.
  std::function<void()> before_change;
  // Changes owner and the like as the entry goes to disk; false leaves the entry out.
  std::function<bool(FileStat&)> map;
  // Bytes moved so far, about ten times a second.
  std::function<void(std::int64_t bytes)> progress;
  // Leave what is there and not told alone (writing an export into a user's directory).
  bool merge = false;
};
// What a sync did to a tree, beside its index: entries of the new index that were made anew, and paths
// that are gone with everything below, or gave way to another kind.
struct TreeChange {
  std::vector<std::size_t> written;
  std::vector<std::string> removed;
};
struct SyncOutcome {
  bool changed = false;              // whether anything on disk differs from before
  std::optional<TreeChange> change;  // nothing when it was not followed: then all may have changed
  std::int64_t bytes = 0;
  std::int64_t files_written = 0;
};

// One client that can give files. Valid during the call it is passed to.
class FileGiver {
 public:
  virtual ~FileGiver() = default;
  virtual std::string session_id() const = 0;
  virtual std::string shared_key() const = 0;
  // Blocking, cancellable. NotFound when the client has no such directory.
  virtual Result<SyncOutcome> sync(const FileRequest& request, const SyncTarget& target, std::stop_token stop) = 0;
};

// The port. Any thread.
class FileAsker {
 public:
  virtual ~FileAsker() = default;
  // The first session's id, or "" when nobody is attached; part of the cache key of local sources.
  virtual std::string first_session() const = 0;
  // Calls `use` with the client of `session_id`; when that is empty, gone, or cannot give the files,
  // with the group's clients one after the other until `use` succeeds. Gives the last error.
  virtual Status with_client(const std::string& session_id, const std::function<Status(FileGiver&)>& use,
                             std::stop_token stop) = 0;
};

std::unique_ptr<FileAsker> file_asker(SessionGroup group);

}  // namespace kiln::session
