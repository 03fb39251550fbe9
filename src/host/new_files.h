// What a file gets by being created, so that it need not be told again: its owner and its mode.
//
//   NewFiles here = NewFiles::in(dir_fd);
//   fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY, mode & 0777);
//   if (!here.has_owner(uid, gid)) fchown(fd, uid, gid);
//   if (!here.has_mode(mode)) fchmod(fd, mode);
//
// Of a hundred thousand small files two system calls each are a quarter of the work.
#pragma once

#include <sys/types.h>

namespace kiln::host {

// About one directory, as it was when it was looked at. A value.
class NewFiles {
 public:
  // Promises nothing: owner and mode are always to be told.
  NewFiles() = default;
  // `dir` is an open directory. A directory that hands down its group or default access rights promises
  // nothing, and neither does one that cannot be looked at. Two system calls.
  static NewFiles in(int dir);

  // Whether a file created by this process has that owner.
  bool has_owner(uid_t uid, gid_t gid) const { return plain_ && uid == uid_ && gid == gid_; }
  // Whether a file created with `mode & 0777` has exactly `mode` (of 07777).
  bool has_mode(mode_t mode) const { return plain_ && (mode & (07000 | umask_)) == 0; }

 private:
  bool plain_ = false;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  mode_t umask_ = 0777;
};

}  // namespace kiln::host
