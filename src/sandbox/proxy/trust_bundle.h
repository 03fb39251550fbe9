// The list of trusted authorities in a step's tree, with one more for as long as the step runs.
//
//   KILN_ASSIGN_OR_RETURN(TrustBundle trust, TrustBundle::extend(root, pem));
//   … run … ; trust.restore();
//
// The first file is taken that is there of those that the distributions' TLS libraries read. The
// addition stands between comment lines, so that it can be taken out again whatever the step did to
// the rest; an untouched file gets its old times back.
#pragma once

#include <time.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::sandbox::proxy {

// One thread at a time. Destroying restores.
class TrustBundle {
 public:
  TrustBundle() = default;
  TrustBundle(TrustBundle&& other) noexcept;
  TrustBundle& operator=(TrustBundle&& other) noexcept;
  ~TrustBundle();
  // `root` is the tree's root directory. Nothing is done when the tree has no bundle, or one that
  // cannot be written to. Fails when a bundle is no regular file or above 10 MiB.
  static Result<TrustBundle> extend(int root, std::string_view pem);
  void restore();

 private:
  host::Fd root_;
  std::string path_;  // empty: nothing to restore
  std::string pem_;
  std::string extended_;           // what was written
  struct timespec times_[2] = {};  // of the file before
};

// `bundle` with the addition, or without it wherever it stands now.
std::string with_certificate(std::string_view bundle, std::string_view pem);
std::string without_certificate(std::string_view bundle, std::string_view pem);

}  // namespace kiln::sandbox::proxy
