// Commits that come in a bundle instead of from the remote, and signatures that must hold: SSH ones on
// commits made here, OpenPGP ones on files. Real git, ssh-keygen, gpg; skipped where they are missing.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/text.h"
#include "content/blob_store_file.h"
#include "graph/attributes.h"
#include "host/fs.h"
#include "source/git.h"
#include "source/git_bundle.h"
#include "source/git_command.h"
#include "source/signature.h"

namespace kiln::source {
namespace {

class GitTrustTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!find_program("git").ok() || !find_program("ssh-keygen").ok()) GTEST_SKIP() << "needs git and ssh-keygen";
    dir_ = *host::TempDir::make("kiln-git-trust-test-");
    blobs_ = *content::FileBlobStore::open(dir_.path() + "/content");
    store::TreesOptions options;
    options.root = dir_.path() + "/store";
    options.blobs = blobs_.get();
    options.pool = &pool_;
    options.snapshotter = "native";
    trees_ = *store::Trees::open(std::move(options));
    repo_ = dir_.path() + "/origin";
    ASSERT_TRUE(host::make_dirs(repo_).ok());
    git({"-c", "init.defaultBranch=main", "init"});
    commit("one");
    commit("two");
    source_ = std::make_shared<GitSource>(
        GitSourceOptions{.trees = trees_.get(),
                         .open_blob = [this](const ImagePlace&, const Asker&) -> Result<std::unique_ptr<ByteSource>> {
                           return std::make_unique<StringSource>(bundle_);
                         }});
  }
  Asker asker() {
    return {.stop = {}, .reporter = event::null_reporter(), .sessions = {}, .lasting_reporter = nullptr};
  }

  std::string git(std::vector<std::string> args) {
    GitCommand command = *GitCommand::find();
    command.work_tree = repo_;
    command.git_dir = repo_ + "/.git";
    Result<std::string> out = command.run(std::move(args), asker());
    EXPECT_TRUE(out.ok()) << out.status();
    return out.value_or("");
  }
  void commit(const std::string& text, const std::string& key = {}) {
    ASSERT_TRUE(host::write_file(repo_ + "/a.txt", text).ok());
    git({"add", "-A"});
    std::vector<std::string> args = {"-c", "user.name=t", "-c", "user.email=t@t"};
    if (!key.empty()) args.insert(args.end(), {"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key});
    args.insert(args.end(), {"commit", "-m", text});
    if (!key.empty()) args.push_back("-S");
    git(args);
  }
  std::string head() { return git({"rev-parse", "HEAD"}).substr(0, 40); }
  // A new key pair; gives the path of the private one.
  std::string make_key(const std::string& name) {
    const std::string path = dir_.path() + "/" + name;
    EXPECT_EQ(run("ssh-keygen", {"-q", "-t", "ed25519", "-N", "", "-f", path}), 0);
    return path;
  }
  static int run(const std::string& program, std::vector<std::string> args, const std::string& home = "/") {
    args.insert(args.begin(), program);
    Result<Outcome> outcome =
        run_program({.path = *find_program(program), .args = args, .env = {"HOME=" + home, "GNUPGHOME=" + home}}, {});
    return outcome.ok() ? outcome->exit_code : -1;
  }
  std::string get(const GitWish& wish, const std::string& path) {
    auto tip = source_->resolve(wish, asker());
    if (!tip.ok()) return std::string(message_of(tip.status()));
    auto tree = source_->checkout(wish, *tip, git_key(wish, *tip), asker());
    if (!tree.ok()) return std::string(message_of(tree.status()));
    auto open = trees_->open(*tree);
    auto file = host::open_in_root(open->root.get(), path, O_RDONLY);
    return file.ok() ? *host::read_to_end(file->get(), 10 << 20) : "(none)";
  }
  Status verify(const GitWish& wish) {
    auto tip = source_->resolve(wish, asker());
    return tip.ok() ? source_->verify(wish, *tip, asker()) : tip.status();
  }

  host::TempDir dir_;
  Pool pool_;
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::unique_ptr<store::Trees> trees_;
  std::string repo_;
  std::string bundle_;
  std::shared_ptr<GitSource> source_;
};

TEST_F(GitTrustTest, ABundleMadeOfACommitStandsInForTheRemote) {
  const std::string tip = head();
  GitWish make{.remote = repo_, .ref = "main", .checksum = tip};
  make.checkout_bundle = true;
  bundle_ = get(make, "bundle");
  ASSERT_TRUE(bundle_.starts_with("# v2 git bundle")) << bundle_.substr(0, 200);

  for (const std::string& ref : {std::string("main"), tip, std::string()}) {
    GitWish wish{.remote = "https://unreachable.invalid/repo" + ref, .ref = ref, .checksum = tip};
    wish.bundle = "docker-image+blob://registry.invalid/repo@" + Digest::of(bundle_).str();
    EXPECT_EQ(get(wish, "a.txt"), "two") << ref;
  }
  GitWish wrong{.remote = "https://unreachable.invalid/repo", .ref = "main", .checksum = tip};
  wrong.bundle = "docker-image+blob://registry.invalid/repo@" + Digest::of("other").str();
  EXPECT_NE(get(wrong, "a.txt").find("expected checksum to match " + Digest::of("other").str()), std::string::npos);
  wrong.bundle = "docker-image+blob://registry.invalid/repo@" + Digest::of(bundle_).str();
  wrong.checksum = std::string(40, 'a');
  EXPECT_NE(get(wrong, "a.txt").find("not found in bundle"), std::string::npos);
}

TEST(GitBundleWish, IsRefusedWhenItMakesNoSense) {
  const std::string digest = Digest::of("x").str();
  const std::pair<std::string, std::string> cases[] = {
      {"nothing", "missing scheme"},
      {"https://host/x@" + digest, "scheme \"https\" is not supported"},
      {"docker-image+blob://host/x", "invalid digest"},
      {"oci-layout+blob://not/real@" + digest, "git.bundle requires git.checksum to be set"},
  };
  for (const auto& [bundle, why] : cases) {
    GitWish wish;
    wish.bundle = bundle;
    EXPECT_NE(message_of(check_bundle_wish(wish)).find(why), std::string::npos) << bundle;
  }
  GitWish both;
  both.checkout_bundle = both.keep_git_dir = true;
  EXPECT_FALSE(check_bundle_wish(both).ok());
  EXPECT_EQ(bundle_ref(""), "refs/heads/main");
  EXPECT_EQ(bundle_ref("refs/tags/v1"), "refs/tags/v1");
  EXPECT_EQ(bundle_ref("heads/dev"), "refs/heads/dev");
}

TEST_F(GitTrustTest, ACommitMustBeSignedByTheKeyThatWasGiven) {
  const std::string key = make_key("key"), other = make_key("other");
  const std::string own = *host::read_file(key + ".pub", 4096), foreign = *host::read_file(other + ".pub", 4096);
  GitWish wish{.remote = repo_, .ref = head()};
  wish.signature = GitWish::Signature{.keys = own};
  EXPECT_EQ(message_of(verify(wish)), "git object is not signed");

  commit("three", key);
  wish.ref = head();
  EXPECT_TRUE(verify(wish).ok()) << verify(wish);
  wish.signature->keys = foreign;
  EXPECT_EQ(verify(wish).code(), Code::kPermissionDenied);
  wish.signature = GitWish::Signature{.keys = own, .require_signed_tag = true};
  EXPECT_EQ(message_of(verify(wish)), "signed tag required but no signed tag found");
}

TEST_F(GitTrustTest, AFileMustBeSignedByTheKeyThatWasGiven) {
  if (!find_program("gpg").ok() || !find_program("gpgv").ok()) GTEST_SKIP() << "needs gpg and gpgv";
  const std::string home = dir_.path() + "/gnupg", data = dir_.path() + "/data";
  ASSERT_TRUE(host::make_dir(home, 0700).ok());
  ASSERT_TRUE(host::write_file(data, "payload").ok());
  ASSERT_EQ(run("gpg", {"--batch", "--passphrase", "", "--quick-gen-key", "t@t", "rsa2048", "sign", "never"}, home), 0);
  ASSERT_EQ(run("gpg", {"--batch", "--armor", "--output", home + "/pub", "--export", "t@t"}, home), 0);
  ASSERT_EQ(
      run("gpg", {"--batch", "--armor", "--digest-algo", "SHA256", "--output", home + "/sig", "--detach-sign", data},
          home),
      0);
  run("gpgconf", {"--kill", "gpg-agent"}, home);
  SignedFile file{.data = data,
                  .signature = *host::read_file(home + "/sig", 1 << 16),
                  .keys = *host::read_file(home + "/pub", 1 << 16)};
  EXPECT_TRUE(verify_signature(file, {}).ok()) << verify_signature(file, {});
  ASSERT_TRUE(host::write_file(data, "tampered").ok());
  EXPECT_NE(message_of(verify_signature(file, {})).find("invalid signature"), std::string::npos);
  file.keys = "no key";
  EXPECT_NE(message_of(verify_signature(file, {})).find("no armored data found"), std::string::npos);
}

TEST(GitObject, IsSplitIntoWhatWasSignedAndTheSignature) {
  SignedObject commit = split_git_object(
      "tree x\nauthor a\ngpgsig -----BEGIN SSH SIGNATURE-----\n abc\n -----END SSH SIGNATURE-----\n\nmessage\n");
  EXPECT_EQ(commit.data, "tree x\nauthor a\n\nmessage\n");
  EXPECT_EQ(commit.signature, "-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----");
  SignedObject tag = split_git_object("object x\ntype commit\n\nv1\n-----BEGIN PGP SIGNATURE-----\nabc\n");
  EXPECT_EQ(tag.data, "object x\ntype commit\n\nv1\n");
  EXPECT_TRUE(tag.signature.starts_with("-----BEGIN PGP SIGNATURE-----\nabc"));
}

}  // namespace
}  // namespace kiln::source
