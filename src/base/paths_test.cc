// Paths, globs and pattern lists mean what Go's path package, filepath.Match and Docker's pattern
// matcher mean; and hundreds of patterns stay cheap.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/glob.h"
#include "base/gopath.h"
#include "base/patterns.h"

namespace kiln {
namespace {

TEST(Path, CleansAsGo) {
  for (auto [in, want] : std::vector<std::pair<const char*, const char*>>{{"", "."},
                                                                          {"abc/def", "abc/def"},
                                                                          {"a/b/c", "a/b/c"},
                                                                          {".", "."},
                                                                          {"..", ".."},
                                                                          {"../../abc", "../../abc"},
                                                                          {"/abc", "/abc"},
                                                                          {"/", "/"},
                                                                          {"abc/", "abc"},
                                                                          {"abc//def//ghi", "abc/def/ghi"},
                                                                          {"//abc", "/abc"},
                                                                          {"abc/./def", "abc/def"},
                                                                          {"/./abc/def", "/abc/def"},
                                                                          {"abc/def/ghi/../jkl", "abc/def/jkl"},
                                                                          {"abc/def/..", "abc"},
                                                                          {"abc/def/../..", "."},
                                                                          {"/abc/def/../..", "/"},
                                                                          {"abc/def/../../..", ".."},
                                                                          {"/abc/def/../../..", "/"},
                                                                          {"abc/../../././../def", "../../def"},
                                                                          {"/../x", "/x"}}) {
    EXPECT_EQ(clean_path(in), want) << in;
  }
}

TEST(Path, JoinsAndTakesApart) {
  EXPECT_EQ(join_path({"a", "", "../b"}), "b");
  EXPECT_EQ(join_path({"", ""}), "");
  EXPECT_EQ(join_path({"/", "a/"}), "/a");
  EXPECT_EQ(base_name("a/b//"), "b");
  EXPECT_EQ(base_name("///"), "/");
  EXPECT_EQ(base_name(""), ".");
  EXPECT_EQ(dir_name("a/b"), "a");
  EXPECT_EQ(dir_name("/a"), "/");
  EXPECT_EQ(dir_name("a"), ".");
  EXPECT_EQ(dir_name("a/b/"), "a/b");
  EXPECT_EQ(path_extension("a.b/c"), "");
  EXPECT_EQ(path_extension("a/b.tar.gz"), ".gz");
  EXPECT_EQ(relative_path("a/b/c", "a/b/d"), "../d");
  EXPECT_EQ(relative_path("/", "/x/y"), "x/y");
  EXPECT_EQ(relative_path("a", "a"), ".");
  EXPECT_EQ(relative_path("..", "a"), std::nullopt);
  EXPECT_EQ(relative_path("/a", "b"), std::nullopt);
  EXPECT_TRUE(path_within("a", "a/b"));
  EXPECT_FALSE(path_within("a", "ab"));
}

TEST(Glob, MatchesAsGo) {
  struct Case {
    const char* pattern;
    const char* name;
    int want;  // -1: malformed
  };
  for (const Case& c : std::vector<Case>{{"abc", "abc", 1},
                                         {"*", "abc", 1},
                                         {"*c", "abc", 1},
                                         {"a*", "a", 1},
                                         {"a*", "abc", 1},
                                         {"a*", "ab/c", 0},
                                         {"a*/b", "abc/b", 1},
                                         {"a*/b", "a/c/b", 0},
                                         {"a*b*c*d*e*/f", "axbxcxdxe/f", 1},
                                         {"a*b*c*d*e*/f", "axbxcxdxexxx/f", 1},
                                         {"a*b*c*d*e*/f", "axbxcxdxe/xxx/f", 0},
                                         {"a*b?c*x", "abxbbxdbxebxczzx", 1},
                                         {"a*b?c*x", "abxbbxdbxebxczzy", 0},
                                         {"ab[c]", "abc", 1},
                                         {"ab[b-d]", "abc", 1},
                                         {"ab[e-g]", "abc", 0},
                                         {"ab[^c]", "abc", 0},
                                         {"ab[^b-d]", "abc", 0},
                                         {"ab[^e-g]", "abc", 1},
                                         {"a\\*b", "a*b", 1},
                                         {"a\\*b", "ab", 0},
                                         {"a?b", "a☺b", 1},
                                         {"a[^a]b", "a☺b", 1},
                                         {"a???b", "a☺b", 0},
                                         {"[a-ζ]*", "α", 1},
                                         {"*[a-ζ]", "A", 0},
                                         {"a?b", "a/b", 0},
                                         {"a*b", "a/b", 0},
                                         {"[\\]a]", "]", 1},
                                         {"[\\-]", "-", 1},
                                         {"[x\\-]", "-", 1},
                                         {"[]a]", "]", -1},
                                         {"[-]", "-", -1},
                                         {"[x-]", "x", -1},
                                         {"[-x]", "x", -1},
                                         {"\\", "a", -1},
                                         {"[a-b-c]", "a", -1},
                                         {"[", "a", -1},
                                         {"[^", "a", -1},
                                         {"[^bc", "a", -1},
                                         {"a[", "a", -1},
                                         {"a[", "ab", -1},
                                         {"a[", "x", -1},
                                         {"a/b[", "x", -1},
                                         {"*x", "xxx", 1},
                                         {"", "", 1},
                                         {"[*]", "*", 1}}) {
    Result<bool> got = glob_match(c.pattern, c.name);
    EXPECT_EQ(got.ok() ? int{*got} : -1, c.want) << c.pattern << " on " << c.name;
  }
}

TEST(Patterns, MatchAsDocker) {
  struct Case {
    const char* pattern;
    const char* path;
    bool want;
  };
  for (const Case& c : std::vector<Case>{{"**", "file", true},
                                         {"**", "dir/file", true},
                                         {"**/", "file", true},
                                         {"**/**", "dir/file", true},
                                         {"dir/**", "dir/file", true},
                                         {"dir/**", "dir/dir2/file", true},
                                         {"**/dir", "dir/file", true},
                                         {"**/dir2/*", "dir/dir2/file", true},
                                         {"**/dir2/**", "dir/dir2/dir2/file", true},
                                         {"**file", "file", true},
                                         {"**file", "dir/file", true},
                                         {"**/file", "dir/file", true},
                                         {"**file", "dir/dir/file", true},
                                         {"**/file*", "dir/dir/file", true},
                                         {"**/file*", "dir/dir/file.txt", true},
                                         {"**/file*txt", "dir/dir/file.txt", true},
                                         {"**/file*.txt*", "dir/dir/file.txt", true},
                                         {"**/file*.txt", "dir/file.txt/x", true},
                                         {"**/**/*.txt", "a/b.txt", true},
                                         {"**/**/*.txt2", "a/b.txt", false},
                                         {"**/*.txt", "file.txt", true},
                                         {"**/a*.txt", "dir/b.txt", false},
                                         {"a**/*.txt", "a/file.txt", true},
                                         {"a**/*.txt", "a/dir/file.txt", true},
                                         {"a/*.txt", "a/file.txt", true},
                                         {"a/*.txt", "a/dir/file.txt", false},
                                         {"a/*.txt**", "a/file.txt", true},
                                         {"a[b-d]e", "ae", false},
                                         {"a[b-d]e", "ace", true},
                                         {"a[b-d]e", "aae", false},
                                         {"a[^b-d]e", "aze", true},
                                         {".*", ".foo", true},
                                         {".*", "foo", false},
                                         {"abc.def", "abcdef", false},
                                         {"abc.def", "abcZdef", false},
                                         {"abc?def", "abcZdef", true},
                                         {"abc?def", "abcdef", false},
                                         {"a\\\\", "a\\", true},
                                         {"**/foo/bar", "foo/bar", true},
                                         {"**/foo/bar", "dir/foo/bar", true},
                                         {"abc/**", "abc", false},
                                         {"*/foo", "bar/foo", true},
                                         {"**/.git*", "a/.gitignore", true},
                                         {"a\\*b", "a*b", true},
                                         {"x*y**z", "xyyz", true},
                                         {"node_modules", "x/node_modules", false},
                                         {"**/cache", "cachex", false},
                                         {"a/**/b", "a/b", true},
                                         {"a/**/b", "a/x/y/b/c", true},
                                         {"a/**/b", "ab", false}}) {
    auto matcher = PatternMatcher::make({c.pattern});
    ASSERT_TRUE(matcher.ok()) << c.pattern;
    EXPECT_EQ(matcher->matches_or_parent(c.path), c.want) << c.pattern << " on " << c.path;
  }
}

TEST(Patterns, LaterExceptionsTakeBack) {
  auto matcher = PatternMatcher::make({"docs", "!docs/README.md", "docs/README.md.bak", "  ", "*.md", "!x.md"});
  ASSERT_TRUE(matcher.ok());
  EXPECT_TRUE(matcher->has_exclusions());
  EXPECT_TRUE(matcher->matches_or_parent("docs/a"));
  EXPECT_FALSE(matcher->matches_or_parent("docs/README.md"));
  EXPECT_TRUE(matcher->matches_or_parent("y.md"));
  EXPECT_FALSE(matcher->matches_or_parent("x.md"));
  EXPECT_FALSE(PatternMatcher::make({"!"}).ok());
  EXPECT_FALSE(PatternMatcher::make({"[x"}).ok());
}

TEST(Patterns, ChildrenUseTheirParentsState) {
  auto matcher = PatternMatcher::make({"foo", "!foo/x", "foo"});
  ASSERT_TRUE(matcher.ok());
  PatternMatcher::State dir, child;
  EXPECT_TRUE(matcher->matches("foo", {}, &dir));
  // The third pattern was not needed for the directory, so it does not speak for the child.
  EXPECT_FALSE(matcher->matches("foo/x", dir, &child));
  EXPECT_TRUE(matcher->matches_or_parent("foo/x"));
  EXPECT_TRUE(matcher->matches("foo/y", dir, &child));
}

TEST(Patterns, FiveHundredPatternsAreCheap) {
  std::vector<std::string> patterns;
  for (int i = 0; i < 100; ++i) {
    patterns.push_back(fmt::format("dir{}/sub/*.tmp", i));
    patterns.push_back(fmt::format("**/cache{}/**", i));
    patterns.push_back(fmt::format("**/*.x{}", i));
    patterns.push_back(fmt::format("build{}", i));
    patterns.push_back(fmt::format("!**/keep{}*", i));
  }
  auto matcher = PatternMatcher::make(patterns);
  ASSERT_TRUE(matcher.ok());
  auto start = std::chrono::steady_clock::now();
  int hits = 0;
  for (int d = 0; d < 1000; ++d) {
    PatternMatcher::State top, sub, file;
    std::string dir = fmt::format("dir{}", d), below = dir + "/sub";
    matcher->matches(dir, {}, &top);
    matcher->matches(below, top, &sub);
    for (int f = 0; f < 100; ++f)
      hits += matcher->matches(fmt::format("{}/file{}.{}", below, f, f % 10 ? "go" : "tmp"), sub, &file);
  }
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  EXPECT_EQ(hits, 1000);
  RecordProperty("milliseconds", static_cast<int>(took.count()));
}

}  // namespace
}  // namespace kiln
