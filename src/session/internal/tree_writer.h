// The disk's side of a sync: makes, replaces and removes entries below one directory. Paths come
// from the other end but were checked: relative, clean, told after their parents, which are
// directories made or seen by this writer.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"
#include "host/fd.h"
#include "host/new_files.h"
#include "session/file_stat.h"

namespace kiln::session::internal {

// One thread.
class TreeWriter {
 public:
  static Result<std::unique_ptr<TreeWriter>> open(const std::string& dir);

  // What lies at the path, or nothing; for trees without an index.
  enum class Kind { kNothing, kDir, kOther };
  Kind look(const std::string& path) const;
  // With everything below; fine when nothing is there.
  Status remove(const std::string& path, std::stop_token stop);
  // Its attributes come with finish_dir, after everything in it was written.
  Status make_dir(const std::string& path);
  Status finish_dir(const FileStat& stat);
  // Nothing lies at the path for these.
  Status make_symlink(const FileStat& stat);
  Status make_special(const FileStat& stat);
  Status make_link(const FileStat& stat);
  // A new file, replacing one that may be there; then, after its contents, its attributes. Files are best
  // created directory by directory: the last one's is held open.
  struct NewFile {
    host::Fd fd;
    host::NewFiles created;  // what it has by being created
  };
  Result<NewFile> create_file(const FileStat& stat);
  Status finish_file(const NewFile& file, const FileStat& stat);

 private:
  TreeWriter(std::string dir, host::Fd root) : dir_(std::move(dir)), root_(std::move(root)) {}
  Status set_attributes(const FileStat& stat);
  Status failed(int error, const char* what, const std::string& path) const;
  Status enter(std::string_view folder);

  std::string dir_;
  host::Fd root_;
  // Where files were created last.
  std::string folder_;
  host::Fd folder_fd_;
  host::NewFiles created_;
};

}  // namespace kiln::session::internal
