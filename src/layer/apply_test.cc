// Layers laid onto trees and taken from them again: whiteouts in both modes, links, attributes, and
// members that try to get out. Needs root for devices and trusted attributes, and skips those else.
#include "layer/apply.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "host/fd.h"
#include "host/fs.h"
#include "layer/diff.h"
#include "layer/tar_reader.h"
#include "layer/tar_writer.h"

namespace kiln::layer {
namespace {

namespace fs = std::filesystem;

struct Member {
  std::string name;
  EntryType type = EntryType::kFile;
  std::string text;  // body, or link target
  std::uint32_t mode = 0644;
};

std::string tar_of(const std::vector<Member>& members) {
  StringSink sink;
  TarWriter writer(sink);
  for (const auto& m : members) {
    TarEntry e;
    e.name = m.name;
    e.type = m.type;
    e.mode = m.mode;
    e.mtime = {1600000000, 0};
    bool is_file = m.type == EntryType::kFile;
    (is_file ? e.uname : e.link) = is_file ? "" : m.text;
    if (is_file) e.size = m.text.size();
    EXPECT_TRUE(writer.begin(e).ok());
    if (is_file) {
      EXPECT_TRUE(writer.write(m.text).ok());
    }
  }
  EXPECT_TRUE(writer.finish().ok());
  return sink.text();
}

class ApplyTest : public testing::Test {
 protected:
  void SetUp() override {
    temp_ = *host::TempDir::make("kiln-apply", fs::exists("/dev/shm") ? "/dev/shm" : "/tmp");
    root_ = folder("root");
  }
  std::string folder(const std::string& name) {
    std::string path = temp_.path() + "/" + name;
    fs::create_directories(path);
    return path;
  }
  Status apply(const std::vector<Member>& members, ApplyOptions options = {}) {
    return apply(tar_of(members), options);
  }
  Status apply(std::string tar, ApplyOptions options = {}) {
    StringSource source(std::move(tar));
    return apply_layer(source, root_, options, {}).status();
  }
  std::string read(const std::string& path) { return host::read_file(root_ + "/" + path).value_or("<none>"); }
  bool there(const std::string& path) { return host::exists(root_ + "/" + path); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
  }
  template <typename Write>
  std::string names_of(Write write) {
    StringSink sink;
    TarWriter writer(sink);
    Status status = write(writer);
    EXPECT_TRUE(status.ok() && writer.finish().ok()) << status;
    StringSource source(sink.text());
    last_tar_ = sink.text();
    TarReader reader(source);
    std::string names;
    while (const TarEntry* entry = *reader.next()) {
      names += entry->name + (entry->type == EntryType::kHardLink ? "=" + entry->link : "") + " ";
    }
    return names;
  }
  host::TempDir temp_;
  std::string root_, last_tar_;
};

TEST_F(ApplyTest, MakesEverythingWithItsAttributes) {
  ASSERT_TRUE(apply({{"d/", EntryType::kDirectory, "", 0750},
                     {"d/f", EntryType::kFile, "text", 04755},
                     {"d/l", EntryType::kSymlink, "f"},
                     {"d/h", EntryType::kHardLink, "d/f"},
                     {"d/p", EntryType::kFifo, "", 0600},
                     {"x/y/implicit", EntryType::kFile, "deep"}})
                  .ok());
  EXPECT_EQ(read("d/l"), "text");
  EXPECT_EQ(read("x/y/implicit"), "deep");
  struct stat f {
  }, h{}, d{}, x{};
  ASSERT_EQ(lstat((root_ + "/d/f").c_str(), &f), 0);
  ASSERT_EQ(lstat((root_ + "/d/h").c_str(), &h), 0);
  ASSERT_EQ(lstat((root_ + "/d").c_str(), &d), 0);
  ASSERT_EQ(lstat((root_ + "/x").c_str(), &x), 0);
  EXPECT_EQ(f.st_ino, h.st_ino);
  EXPECT_EQ(f.st_mode & 07777, 04755u);
  EXPECT_EQ(d.st_mode & 07777, 0750u);
  EXPECT_EQ(x.st_mode & 07777, 0755u);
  EXPECT_EQ(f.st_mtim.tv_sec, 1600000000);
  EXPECT_EQ(d.st_mtim.tv_sec, 1600000000);
}

TEST_F(ApplyTest, HostileMembersAreRefusedByName) {
  std::string outside = folder("outside");
  auto refused = [&](const std::vector<Member>& members, const std::string& name) {
    Status status = apply(members);
    EXPECT_EQ(status.code(), Code::kFailedPrecondition);
    EXPECT_NE(message_of(status).find("'" + name + "'"), std::string::npos) << status;
  };
  refused({{"../outside/f", EntryType::kFile, "x"}}, "../outside/f");
  refused({{"a/../../outside/f", EntryType::kFile, "x"}}, "a/../../outside/f");
  refused({{"h", EntryType::kHardLink, "../outside"}}, "h");
  refused({{"file", EntryType::kFile, "x"}, {"file/sub", EntryType::kFile, "x"}}, "file/sub");
  refused({{".wh.", EntryType::kFile, ""}}, ".wh.");
  // A link out of the root leads to the same path inside it, as in a chroot.
  fs::create_directories(root_ + outside);
  ASSERT_TRUE(apply({{"esc", EntryType::kSymlink, outside}, {"esc/f", EntryType::kFile, "x"}}).ok());
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_TRUE(there(outside + "/f"));
  ASSERT_TRUE(apply({{"up", EntryType::kSymlink, "../../.."}, {"up/g", EntryType::kFile, "x"}}).ok());
  EXPECT_TRUE(there("g"));
}

TEST_F(ApplyTest, ReplacesWhatStandsInTheWay) {
  ASSERT_TRUE(apply({{"a/b/c", EntryType::kFile, "1"}, {"l", EntryType::kSymlink, "a"}}).ok());
  ASSERT_TRUE(apply({{"a", EntryType::kFile, "now a file"}, {"l", EntryType::kFile, "2"}}).ok());
  EXPECT_EQ(read("a"), "now a file");
  ASSERT_TRUE(apply({{"a/", EntryType::kDirectory, "", 0755}, {"a/z", EntryType::kFile, "z"}}).ok());
  EXPECT_EQ(read("a/z"), "z");
}

TEST_F(ApplyTest, WhiteoutsDeleteInAPlainTree) {
  ASSERT_TRUE(apply({{"d/old", EntryType::kFile, "1"},
                     {"d/keep", EntryType::kFile, "2"},
                     {"e/x", EntryType::kFile, "3"},
                     {"e/s/y", EntryType::kFile, "4"}})
                  .ok());
  ASSERT_TRUE(apply({{"d/.wh.old"},
                     {"d/.wh..wh.plnk"},
                     {"e/s/", EntryType::kDirectory, "", 0755},
                     {"e/s/new", EntryType::kFile, "5"},
                     {"e/.wh..wh..opq"},
                     {".wh.gone"}})
                  .ok());
  EXPECT_FALSE(there("d/old"));
  EXPECT_TRUE(there("d/keep"));
  EXPECT_FALSE(there("e/x"));
  EXPECT_FALSE(there("e/s/y"));
  EXPECT_TRUE(there("e/s/new"));
  EXPECT_FALSE(there("d/.wh.old"));
  ASSERT_TRUE(apply({{".wh.kept", EntryType::kFile, "k"}}, {.whiteouts = false}).ok());
  // What is no layer is unpacked as in a chroot, whose root is above itself.
  ASSERT_TRUE(
      apply({{"../../up", EntryType::kFile, "u"}, {"link", EntryType::kHardLink, "../up"}}, {.whiteouts = false}).ok());
  EXPECT_EQ(read("up"), "u");
  EXPECT_EQ(read("link"), "u");
  EXPECT_EQ(read(".wh.kept"), "k");
}

TEST_F(ApplyTest, AnUpperDirComesBackAsTheSameLayer) {
  if (geteuid() != 0) GTEST_SKIP();
  ASSERT_TRUE(apply({{"d/", EntryType::kDirectory, "", 0755},
                     {"d/.wh.old"},
                     {"o/", EntryType::kDirectory, "", 0755},
                     {"o/.wh..wh..opq"},
                     {"o/n", EntryType::kFile, "n"}},
                    {.target = ApplyTarget::kOverlayUpper})
                  .ok());
  struct stat st {};
  ASSERT_EQ(lstat((root_ + "/d/old").c_str(), &st), 0);
  EXPECT_TRUE(S_ISCHR(st.st_mode) && st.st_rdev == 0);
  EXPECT_EQ(host::xattr_of(root_ + "/o", "trusted.overlay.opaque"), "y");
  auto upper = [&](const std::vector<std::string>& lowers) {
    return names_of([&](TarWriter& w) { return write_overlay_upper(root_, lowers, w, {}, {}).status(); });
  };
  EXPECT_EQ(upper({}), "d/ d/.wh.old o/ o/.wh..wh..opq o/n ");
  // With the lower tree known, only what is there is taken away, one by one.
  std::string lower = folder("lower");
  put(lower + "/o/p", "1");
  put(lower + "/o/a/b", "1");
  EXPECT_EQ(upper({lower}), "d/ o/ o/.wh.a o/n o/.wh.p ");
  put(lower + "/d/old", "1");
  EXPECT_EQ(upper({lower}), "d/ d/.wh.old o/ o/.wh.a o/n o/.wh.p ");
}

TEST_F(ApplyTest, UnchangedEntriesOfAnUpperDirAreLeftOut) {
  std::string lower = folder("lower");
  ASSERT_TRUE(apply({{"d/same", EntryType::kFile, "1"}, {"d/changed", EntryType::kFile, "1"}}).ok());
  fs::copy(root_, lower, fs::copy_options::recursive);
  for (const char* path : {"/d/same", "/d/changed", "/d"}) {
    timespec times[2] = {{1600000000, 0}, {1600000000, 0}};
    utimensat(AT_FDCWD, (lower + path).c_str(), times, 0);
    utimensat(AT_FDCWD, (root_ + path).c_str(), times, 0);
    chmod((lower + path).c_str(), 0755);
    chmod((root_ + path).c_str(), 0755);
  }
  auto upper = [&] {
    return names_of([&](TarWriter& w) { return write_overlay_upper(root_, {lower}, w, {}, {}).status(); });
  };
  EXPECT_EQ(upper(), "");
  put(root_ + "/d/changed", "2");
  EXPECT_EQ(upper(), "d/ d/changed ");  // the parent goes along
  EXPECT_EQ(names_of([&](TarWriter& w) { return write_difference(lower, root_, w, {}, {}).status(); }),
            "d/ d/changed ");
}

TEST_F(ApplyTest, DifferencesOfTreesApplyToTheOther) {
  std::string before = folder("before"), after = folder("after");
  put(before + "/gone/deep", "1");
  put(before + "/kind", "file");
  put(before + "/stay", "s");
  put(after + "/stay", "s");
  put(after + "/kind/now", "a folder");
  put(after + "/new", "n");
  fs::create_hard_link(after + "/new", after + "/also");
  std::string names = names_of([&](TarWriter& w) { return write_difference(before, after, w, {}, {}).status(); });
  EXPECT_TRUE(names.starts_with("also .wh.gone kind/ kind/now new=also ")) << names;
  root_ = before;
  ASSERT_TRUE(apply(last_tar_).ok());
  EXPECT_FALSE(there("gone"));
  EXPECT_EQ(read("kind/now"), "a folder");
  EXPECT_EQ(read("also"), "n");
}

TEST_F(ApplyTest, TheSameTreeGivesTheSameBytes) {
  ASSERT_TRUE(
      apply({{"b", EntryType::kFile, "1"}, {"a/z", EntryType::kFile, "2"}, {"a-b", EntryType::kFile, "3"}}).ok());
  auto tree = [&] { return names_of([&](TarWriter& w) { return write_tree(root_, w, {}, {}).status(); }); };
  EXPECT_EQ(tree(), "a/ a/z a-b b ");
  std::string first = last_tar_;
  tree();
  EXPECT_EQ(first, last_tar_);
}

TEST_F(ApplyTest, ImplicitParentsAndLinksComeFromTheLowerTrees) {
  if (geteuid() != 0) GTEST_SKIP();
  std::string lower = folder("lower");
  put(lower + "/etc/base", "b");
  chmod((lower + "/etc").c_str(), 0711);
  ASSERT_TRUE(apply({{"etc/added", EntryType::kFile, "a"}, {"etc/linked", EntryType::kHardLink, "etc/base"}},
                    {.target = ApplyTarget::kOverlayUpper, .lowers = {lower}})
                  .ok());
  struct stat st {};
  ASSERT_EQ(lstat((root_ + "/etc").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0711u);
  EXPECT_EQ(read("etc/linked"), "b");
  EXPECT_EQ(read("etc/base"), "b");
}

TEST_F(ApplyTest, RefusesTheEntryThatIsMoreThanALayerMayUnpackTo) {
  EXPECT_TRUE(apply({{"a", EntryType::kFile, "12345"}, {"b", EntryType::kFile, "12345"}}, {.bytes_max = 10}).ok());
  const Status refused =
      apply({{"a", EntryType::kFile, "12345"}, {"dir/bomb", EntryType::kFile, "123456"}}, {.bytes_max = 10});
  EXPECT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_TRUE(message_of(refused).starts_with("layer entry 'dir/bomb' of 6 bytes goes beyond the 10 bytes")) << refused;
  EXPECT_FALSE(there("dir/bomb"));  // told before a byte of it is written
}

TEST_F(ApplyTest, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  StringSource source(tar_of({{"a", EntryType::kFile, "1"}}));
  EXPECT_TRUE(is_cancelled(apply_layer(source, root_, {}, stop.get_token()).status()));
}

}  // namespace
}  // namespace kiln::layer
