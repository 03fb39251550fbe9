// Git bundles. One kept as a blob (in a registry, in a client's layout) stands in for a remote: its
// commits are brought into a repository of their own, which is then fetched from like any other. And
// a checkout may be a bundle instead of files. Private to the room.
//
//   KILN_ASSIGN_OR_RETURN(auto bundle, GitBundle::stage(options.open_blob, wish, asker));
//   git.run({"ls-remote", "--", bundle->url()}, asker);
#pragma once

#include <memory>
#include <string>

#include "host/fs.h"
#include "source/git.h"
#include "source/git_command.h"

namespace kiln::source {

// Where the blob of a bundle is: from "docker-image+blob://name@digest" or "oci-layout+blob://…".
// InvalidArgument for anything else; only sha256 can be checked.
Result<ImagePlace> bundle_place(const GitWish& wish);
// Whether the wish's bundle attributes make sense together.
Status check_bundle_wish(const GitWish& wish);
// The full name under which a bundle made for the ref carries its commit.
std::string bundle_ref(const std::string& ref);

// Immutable; any thread. The repository goes with the last holder.
class GitBundle {
 public:
  // Downloads, checks the digest, imports. Blocking, cancellable. FailedPrecondition when the blob is
  // not what the locator says, is no bundle, or does not hold the pinned commit.
  static Result<std::shared_ptr<const GitBundle>> stage(const OpenBlob& open_blob, const GitWish& wish,
                                                        const Asker& asker);
  std::string url() const { return "file://" + directory(); }

 private:
  explicit GitBundle(host::TempDir folder) : folder_(std::move(folder)) {}
  std::string directory() const { return folder_.path() + "/repo.git"; }
  Status download(const OpenBlob& open_blob, const ImagePlace& place, const Asker& asker) const;
  Status import(const GitWish& wish, const ImagePlace& place, const Asker& asker) const;

  host::TempDir folder_;
};

// Writes the file `target`: a bundle that holds the commit `object` of the repository and its history,
// under the name that suits the ref.
Status write_bundle(const GitCommand& repository, const std::string& ref, const std::string& object,
                    const std::string& target, const Asker& asker);

}  // namespace kiln::source
