// What the contents of a tree are, in one digest: the content keys of the build cache.
//
//   KILN_ASSIGN_OR_RETURN(Digest d, trees.digest(tree, "/src", {.follow_links = true}, stop));
//
// The digests are BuildKit's own, bit for bit, because cache records travel between the two. A file's
// digest is the sha256 of its header fields in Docker's tarsum v1 form (name empty, mode, uid, gid,
// size, type, link, devices, extended attributes; no times) followed by the contents; a directory's is
// the sha256 over its own header and its entries' names and digests. See docs/formats/tree-digest.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/status.h"

namespace kiln::store {

struct ChecksumOptions {
  bool follow_links = false;                  // of the last component
  bool wildcard = false;                      // the path is a pattern (*, ?, [...])
  std::vector<std::string> include_patterns;  // relative to the path
  std::vector<std::string> exclude_patterns;
  std::vector<std::string> required_paths;  // NotFound when nothing selected starts with one
};

// The header of one file. `mode` is st_mode.
struct FileFacts {
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t size = 0;
  std::string link;  // of a symbolic link
  std::int64_t dev_major = 0;
  std::int64_t dev_minor = 0;
  std::map<std::string, std::string> xattrs;
};

// The digest of one file, made as its bytes pass by. For a hard link use the digest of the file it
// links to. Directories, links and devices have no bytes.
//   FileDigester d(facts); d.update(bytes); Digest digest = d.finish();
// One thread at a time.
class FileDigester {
 public:
  explicit FileDigester(const FileFacts& facts);
  void update(std::string_view bytes) { hasher_.update(bytes); }
  Digest finish() { return hasher_.finish(); }

 private:
  Hasher hasher_;
};

}  // namespace kiln::store
