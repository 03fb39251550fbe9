#include "source/git_bundle.h"

#include <fcntl.h>

#include "base/git_url.h"
#include "base/id.h"
#include "base/text.h"

namespace kiln::source {
namespace {

constexpr auto kQuiet = GitCommand::Logged::kNo;
constexpr std::string_view kRegistryBlob = "docker-image+blob";
constexpr std::string_view kLayoutBlob = "oci-layout+blob";

Status init_bare(const GitCommand& git, bool sha256, const Asker& asker) {
  KILN_RETURN_IF_ERROR(host::make_dir(git.git_dir, 0700));
  std::vector<std::string> init = {"-c", "init.defaultBranch=master", "init", "--bare"};
  if (sha256) init.push_back("--object-format=sha256");
  return git.run(init, asker, kQuiet).status();
}

// Bundles say it in the names of their objects.
Result<bool> uses_sha256(const GitCommand& git, const std::string& bundle, const std::string& name,
                         const Asker& asker) {
  Result<std::string> refs = git.run({"ls-remote", "--", bundle}, asker, kQuiet);
  if (!refs.ok()) return annotate(refs.status(), "failed to inspect git bundle " + name);
  const std::string_view object = split_once(*refs, '\t').first;
  if (refs->empty())
    return user_error(Code::kFailedPrecondition, fmt::format("failed to inspect git bundle {}: no refs found", name));
  if (!is_commit_sha(object)) {
    return user_error(Code::kFailedPrecondition,
                      fmt::format("failed to inspect git bundle {}: invalid object ID \"{}\"", name, object));
  }
  return object.size() == 64;
}

}  // namespace

Result<ImagePlace> bundle_place(const GitWish& wish) {
  const auto fail = [&](std::string_view why) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("failed to parse git.bundle locator \"{}\": {}", wish.bundle, why));
  };
  const std::size_t end = wish.bundle.find("://");
  if (end == std::string::npos) return fail("missing scheme");
  const std::string scheme = wish.bundle.substr(0, end);
  if (scheme != kRegistryBlob && scheme != kLayoutBlob) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("git.bundle locator scheme \"{}\" is not supported; expected \"{}\" or \"{}\"",
                                  scheme, kRegistryBlob, kLayoutBlob));
  }
  const std::string body = wish.bundle.substr(end + 3);
  ImagePlace place;
  Result<Reference> ref = Reference::parse(body);
  if (!ref.ok()) return fail(message_of(ref.status()));
  place.ref = *std::move(ref);
  if (place.ref.digest.empty()) return fail("invalid digest: the blob is named by its digest");
  if (place.ref.digest.algorithm() != "sha256") {
    return fail(
        fmt::format("digest algorithm \"{}\" not supported, expected \"sha256\"", place.ref.digest.algorithm()));
  }
  if (scheme == kLayoutBlob) {
    place.kind = ImagePlace::Kind::kLayout;
    place.session_id = wish.bundle_session;
    place.store_id = wish.bundle_store.empty() ? body.substr(0, body.find('@')) : wish.bundle_store;
  }
  return place;
}

Status check_bundle_wish(const GitWish& wish) {
  if (!wish.bundle.empty()) {
    KILN_RETURN_IF_ERROR(bundle_place(wish).status());
    if (wish.checksum.empty()) return user_error(Code::kInvalidArgument, "git.bundle requires git.checksum to be set");
    if (is_commit_sha(wish.ref) && !wish.ref.starts_with(wish.checksum)) {
      return user_error(Code::kFailedPrecondition,
                        fmt::format("expected checksum to match {}, got {}", wish.checksum, wish.ref));
    }
  }
  if (!wish.checkout_bundle) return ok();
  for (const auto& [set, name] :
       {std::pair(wish.keep_git_dir, "git.keepgitdir"), std::pair(!wish.subdir.empty(), "git.subdir")}) {
    if (set) return user_error(Code::kInvalidArgument, fmt::format("git.checkoutbundle is incompatible with {}", name));
  }
  return ok();
}

std::string bundle_ref(const std::string& ref) {
  if (ref.empty() || is_commit_sha(ref)) return "refs/heads/main";
  if (ref.starts_with("refs/tags/")) return ref;
  std::string_view name = ref;
  for (std::string_view prefix : {"refs/", "heads/"}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  return "refs/heads/" + std::string(name);
}

Result<std::shared_ptr<const GitBundle>> GitBundle::stage(const OpenBlob& open_blob, const GitWish& wish,
                                                          const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(ImagePlace place, bundle_place(wish));
  KILN_ASSIGN_OR_RETURN(host::TempDir folder, host::TempDir::make("kiln-git-bundle-"));
  std::shared_ptr<const GitBundle> bundle(new GitBundle(std::move(folder)));
  Status got = bundle->download(open_blob, place, asker);
  if (!got.ok()) return is_cancelled(got) ? got : annotate(got, "failed to fetch git bundle " + place.ref.str());
  KILN_RETURN_IF_ERROR(bundle->import(wish, place, asker));
  return bundle;
}

Status GitBundle::download(const OpenBlob& open_blob, const ImagePlace& place, const Asker& asker) const {
  if (!open_blob) return engine_error("blobs are not available to git sources");
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> body, open_blob(place, asker));
  KILN_ASSIGN_OR_RETURN(host::Fd file, host::open_file(folder_.path() + "/bundle.pack", O_WRONLY | O_CREAT | O_EXCL));
  Hasher hasher;
  std::string buffer(kChunkBytes, '\0');
  for (;;) {
    if (asker.stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(std::size_t got, body->read(std::span(buffer.data(), buffer.size())));
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), got);
    hasher.update(bytes);
    KILN_RETURN_IF_ERROR(host::write_all(file.get(), bytes));
  }
  const Digest digest = hasher.finish();
  if (digest == place.ref.digest) return ok();
  return peer_error(Code::kFailedPrecondition,
                    fmt::format("expected checksum to match {}, got {}", place.ref.digest.str(), digest.str()));
}

Status GitBundle::import(const GitWish& wish, const ImagePlace& place, const Asker& asker) const {
  const std::string name = place.ref.str();
  const std::string file = folder_.path() + "/bundle.pack";
  KILN_ASSIGN_OR_RETURN(GitCommand git, GitCommand::find());
  KILN_ASSIGN_OR_RETURN(bool sha256, uses_sha256(git, file, name, asker));
  git.git_dir = directory();
  KILN_RETURN_IF_ERROR(init_bare(git, sha256, asker));
  Status imported = git.run({"fetch", file, "+refs/*:refs/*"}, asker).status();
  if (!imported.ok())
    return is_cancelled(imported) ? imported : annotate(imported, "failed to import git bundle " + name);
  (void)host::remove_all(file);
  Status held = git.run({"cat-file", "-e", wish.checksum + "^{commit}"}, asker, kQuiet).status();
  if (held.ok() || is_cancelled(held)) return held;
  return user_error(Code::kFailedPrecondition, fmt::format("commit {} not found in bundle {}", wish.checksum, name));
}

Status write_bundle(const GitCommand& repository, const std::string& ref, const std::string& object,
                    const std::string& target, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(host::TempDir folder, host::TempDir::make("kiln-git-bundle-"));
  GitCommand git = repository;
  git.git_dir = folder.path() + "/repo.git";
  KILN_RETURN_IF_ERROR(init_bare(git, object.size() == 64, asker));
  // The object gets a name to be fetched by, which the bundle does not see.
  const std::string name = "refs/kiln/" + new_id();
  KILN_RETURN_IF_ERROR(repository.run({"update-ref", name, object, "--no-deref"}, asker, kQuiet).status());
  Status fetched = git.run({"fetch", "--no-tags", "file://" + repository.git_dir, "--", name}, asker).status();
  Status dropped = repository.run({"update-ref", "-d", name}, asker, kQuiet).status();
  if (!fetched.ok()) {
    return is_cancelled(fetched)
               ? fetched
               : annotate(fetched, fmt::format("failed to fetch commit {} for bundle creation", object));
  }
  KILN_RETURN_IF_ERROR(dropped);
  const std::string tip = bundle_ref(ref);
  KILN_RETURN_IF_ERROR(git.run({"update-ref", tip, object}, asker, kQuiet).status());
  Status made = git.run({"bundle", "create", target, tip}, asker).status();
  return made.ok() || is_cancelled(made) ? made
                                         : annotate(made, fmt::format("failed to create git bundle for {}", object));
}

}  // namespace kiln::source
