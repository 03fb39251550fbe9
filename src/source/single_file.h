// A tree that is one file: what http and blob sources make of a download.
//
//   KILN_ASSIGN_OR_RETURN(SavedFile saved, save_file(trees, *body, {.name = "app.tgz"}, options, stop));
//   saved.tree; saved.digest;
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/digest.h"
#include "base/stream.h"
#include "store/trees.h"

namespace kiln::source {

struct FileWish {
  std::string name;
  int perm = 0;  // 0: 0600
  int uid = 0;
  int gid = 0;
  std::optional<Time> mtime;  // the epoch when absent
};
struct SavedFile {
  store::TreeRef tree;
  Digest digest;  // sha256 of the contents
};
// Streams the body into a new tree. Blocking; cancelled through the body's own stop. `on_bytes` is
// told the bytes so far.
Result<SavedFile> save_file(store::Trees& trees, ByteSource& body, const FileWish& wish, store::TreeOptions options,
                            std::stop_token stop, const std::function<void(std::uint64_t)>& on_bytes = {});

// The last component, or "download" when that is no name for a file.
std::string safe_file_name(std::string_view name);
// Go's strconv.ParseInt with base 0: "0644" is octal, "0x1f" hexadecimal. InvalidArgument otherwise.
Result<int> parse_number(const std::string& text);

}  // namespace kiln::source
