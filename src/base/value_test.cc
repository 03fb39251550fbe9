// Proves the readings of flag values and of git addresses.
#include "base/value.h"

#include <gtest/gtest.h>

#include "base/git_url.h"
#include "base/text.h"

namespace kiln {
namespace {

std::string reference(std::string_view text) {
  std::optional<Result<GitReference>> r = parse_git_reference(text);
  if (!r) return "none";
  if (!r->ok()) return "error: " + std::string(message_of(r->status()));
  const GitReference& g = **r;
  std::string out = g.remote + " " + g.short_name;
  for (auto [name, value] :
       {std::pair{"ref", g.ref}, {"checksum", g.checksum}, {"subdir", g.subdir}, {"mtime", g.mtime}}) {
    if (!value.empty()) out += std::string(" ") + name + "=" + value;
  }
  if (g.looks_local) out += " local";
  if (g.unencrypted) out += " unencrypted";
  if (g.keep_git_dir) out += *g.keep_git_dir ? " keep" : " drop";
  if (g.fetch_by_commit) out += " by-commit";
  return out;
}

TEST(GitReferences, are_told_from_paths_and_downloads) {
  EXPECT_EQ(reference("https://example.com/foo"), "none");
  EXPECT_EQ(reference("https://example.com/foo.git/"), "none");
  EXPECT_EQ(reference("./.git"), "none");
  EXPECT_EQ(reference("other.xyz/a/b.git"), "none");
  EXPECT_EQ(reference("git://example.com/foo"), "git://example.com/foo foo unencrypted");
  EXPECT_EQ(reference("github.com/a/b?tag=v1"), "github.com/a/b b ref=refs/tags/v1 local");
  EXPECT_EQ(reference("https://u:p@example.com/a/b.git#x/y:c/../d"),
            "https://u:p@example.com/a/b.git b ref=x/y subdir=d");
  EXPECT_EQ(reference("git@example.com:a/b.git?subdir=/s#v1"), "git@example.com:a/b.git b ref=v1 subdir=/s");
}

TEST(GitReferences, take_query_keys_that_do_not_conflict) {
  EXPECT_EQ(reference("https://h/b.git?branch=m&keep-git-dir&fetch-by-commit=true&commit=ab"),
            "https://h/b.git b ref=refs/heads/m checksum=ab keep by-commit");
  EXPECT_EQ(reference("https://h/b.git?ref=a#b"), "error: ref conflicts: \"b\" vs \"a\"");
  EXPECT_EQ(reference("https://h/b.git?tag=a&branch=b"), "error: branch conflicts with tag");
  EXPECT_EQ(reference("https://h/b.git?mtime=x"),
            "error: invalid mtime value: \"x\" (must be \"checkout\" or \"commit\")");
  EXPECT_EQ(reference("https://h/b.git?x=1"), "error: unexpected query \"x\"");
}

TEST(GitReferences, have_a_fragment_form) {
  EXPECT_EQ(git_fragment_form("https://h/b.git?ref=v1&subdir=/s", GitSubdir::kKeep), "https://h/b.git#v1:s");
  EXPECT_EQ(git_fragment_form("https://h/b.git#:s", GitSubdir::kDrop), "https://h/b.git");
  EXPECT_EQ(git_fragment_form("/tmp/x", GitSubdir::kKeep), "/tmp/x");
}

TEST(GitUrls, keep_user_host_and_path) {
  Result<GitUrl> url = parse_git_url("SSH://root@sub.example:2222/a/b%20c.git");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->scheme, "ssh");
  EXPECT_EQ(url->user, "root");
  EXPECT_EQ(url->host, "sub.example:2222");
  EXPECT_EQ(url->path, "/a/b c.git");
  EXPECT_EQ(message_of(parse_git_url("httpx://a/b").status()), "httpx: invalid protocol");
  EXPECT_EQ(message_of(parse_git_url("/a/b").status()), "unknown protocol");
}

TEST(Values, are_read_as_flags_write_them) {
  EXPECT_EQ(join(*parse_csv("type=local,\"dest=a,b\"\"c\",x="), "|"), "type=local|dest=a,b\"c|x=");
  EXPECT_FALSE(parse_csv("a\"b").ok());
  EXPECT_FALSE(parse_csv("\"a").ok());
  EXPECT_EQ(*parse_size("1.5GiB"), 1610612736);
  EXPECT_EQ(*parse_size("64m"), 64 << 20);
  EXPECT_EQ(*parse_size("7"), 7);
  EXPECT_FALSE(parse_size("1x").ok());
  EXPECT_FALSE(parse_size("-1").ok());
  EXPECT_EQ(parse_bool("T"), true);
  EXPECT_EQ(parse_bool("yes"), std::nullopt);
  EXPECT_EQ(parse_unsigned("0755", 8, 07777), 0755u);
  EXPECT_EQ(parse_unsigned("-1", 10, 5), std::nullopt);
  EXPECT_EQ(quote("a\"\n"), "\"a\\\"\\n\"");
}

}  // namespace
}  // namespace kiln
