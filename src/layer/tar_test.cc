// The tar we write reads back as it was, fits what Go's archive/tar writes (checked block by block),
// and broken archives are refused with a reason.
#include <gtest/gtest.h>

#include "layer/tar_reader.h"
#include "layer/tar_writer.h"

namespace kiln::layer {
namespace {

TarEntry file(std::string name, std::uint64_t size = 0) {
  TarEntry e;
  e.name = std::move(name);
  e.mode = 0644;
  e.size = size;
  e.mtime = {1700000000, 0};
  return e;
}

std::string archive_of(const std::vector<std::pair<TarEntry, std::string>>& members) {
  StringSink sink;
  TarWriter writer(sink);
  for (const auto& [entry, body] : members) {
    EXPECT_TRUE(writer.begin(entry).ok());
    EXPECT_TRUE(writer.write(body).ok());
  }
  EXPECT_TRUE(writer.finish().ok());
  EXPECT_EQ(writer.bytes_written(), sink.text().size());
  return sink.text();
}

// Gives the bytes in pieces of an odd size.
class Dribble final : public ByteSource {
 public:
  explicit Dribble(std::string text) : text_(std::move(text)) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    std::size_t n = std::min({buffer.size(), std::size_t{7}, text_.size() - at_});
    text_.copy(buffer.data(), n, at_);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

TEST(TarWriter, SmallThingsFitAPlainHeaderOfKnownBytes) {
  std::string tar = archive_of({{file("a/b", 3), "xyz"}});
  ASSERT_EQ(tar.size(), 512u + 512 + 1024);
  EXPECT_EQ(tar.substr(0, 4), std::string("a/b\0", 4));
  EXPECT_EQ(tar.substr(100, 8), std::string("0000644\0", 8));
  EXPECT_EQ(tar.substr(124, 12), std::string("00000000003\0", 12));
  EXPECT_EQ(tar.substr(136, 12), std::string("14524770400\0", 12));
  EXPECT_EQ(tar.substr(148, 8), std::string("007624\0 ", 8));
  EXPECT_EQ(tar.substr(257, 8), "ustar" + std::string("\0"
                                                      "00",
                                                      3));
  EXPECT_EQ(tar.substr(329, 8), std::string("0000000\0", 8));
}

TEST(TarWriter, LongNamesSplitOrMoveToPax) {
  std::string folder(90, 'd'), base(90, 'f');
  std::string splits = archive_of({{file(folder + "/" + base), ""}});
  EXPECT_EQ(splits.size(), 512u + 1024);
  EXPECT_EQ(splits.substr(345, 90), folder);
  std::string pax = archive_of({{file(std::string(120, 'x')), ""}});
  EXPECT_EQ(pax.size(), 3u * 512 + 1024);
  EXPECT_EQ(pax[156], 'x');
  EXPECT_EQ(pax.substr(0, 13), "PaxHeaders.0/");
  EXPECT_EQ(pax.substr(512, 9), "130 path=");
}

TEST(Tar, EverythingReadsBack) {
  std::vector<std::pair<TarEntry, std::string>> members;
  TarEntry e = file("d/" + std::string(200, 'n') + "/\xc3\xa9", 700);
  e.uid = 3000000;
  e.mtime = {-5, 250000000};
  e.xattrs = {{"security.capability", std::string("\1\0\2=\n", 5)}, {"user.x", "y"}};
  members.emplace_back(e, std::string(700, 'q'));
  TarEntry link = file("l");
  link.type = EntryType::kSymlink;
  link.link = std::string(150, 't');
  members.emplace_back(link, "");
  TarEntry device = file("dev");
  device.type = EntryType::kCharDevice;
  device.dev_major = 5;
  device.dev_minor = 1;
  members.emplace_back(device, "");
  TarEntry folder = file("folder/");
  folder.type = EntryType::kDirectory;
  folder.mode = 01777;
  members.emplace_back(folder, "");
  Dribble source(archive_of(members));
  TarReader reader(source);
  for (const auto& [want, body] : members) {
    auto got = reader.next();
    ASSERT_TRUE(got.ok() && *got) << got.status();
    EXPECT_EQ((*got)->name, want.name);
    EXPECT_EQ((*got)->type, want.type);
    EXPECT_EQ((*got)->mode, want.mode);
    EXPECT_EQ((*got)->uid, want.uid);
    EXPECT_EQ((*got)->mtime, want.mtime);
    EXPECT_EQ((*got)->link, want.link);
    EXPECT_EQ((*got)->xattrs, want.xattrs);
    EXPECT_EQ((*got)->dev_major, want.dev_major);
    std::string read;
    char buffer[100];
    while (auto n = *reader.read(buffer)) read.append(buffer, n);
    EXPECT_EQ(read, body);
  }
  EXPECT_EQ(*reader.next(), nullptr);
  EXPECT_EQ(*reader.next(), nullptr);
}

TEST(TarReader, SkipsUnreadBodies) {
  StringSource source(archive_of({{file("a", 1000), std::string(1000, 'a')}, {file("b"), ""}}));
  TarReader reader(source);
  EXPECT_EQ((*reader.next())->name, "a");
  EXPECT_EQ((*reader.next())->name, "b");
}

TEST(TarReader, RefusesDamageWithAReason) {
  std::string good = archive_of({{file("a", 1000), std::string(1000, 'a')}});
  auto first_error = [](std::string text) {
    StringSource source(std::move(text));
    TarReader reader(source);
    while (true) {
      auto entry = reader.next();
      if (!entry.ok()) return std::string(message_of(entry.status()));
      if (!*entry) return std::string("none");
    }
  };
  EXPECT_EQ(first_error(good), "none");
  EXPECT_EQ(first_error(""), "none");
  EXPECT_NE(first_error(good.substr(0, 900)).find("middle of 'a'"), std::string::npos);
  EXPECT_NE(first_error(good.substr(0, 300)).find("middle of a header"), std::string::npos);
  std::string broken = good;
  broken[3] = 'Z';
  EXPECT_NE(first_error(broken).find("checksum"), std::string::npos);
}

TEST(TarReader, SurvivesRandomDamage) {
  std::string good = archive_of({{file("a/" + std::string(150, 'x'), 10), "0123456789"}, {file("b"), ""}});
  unsigned seed = 1;
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (int k = 0; k < 3; ++k) {
      seed = seed * 1103515245 + 12345;
      text[(seed >> 8) % text.size()] = static_cast<char>(seed >> 16);
    }
    StringSource source(std::move(text));
    TarReader reader(source);
    for (int n = 0; n < 10; ++n) {
      auto entry = reader.next();
      if (!entry.ok() || !*entry) break;
    }
  }
}

TEST(TarWriter, MisuseIsAStatus) {
  StringSink sink;
  TarWriter writer(sink);
  ASSERT_TRUE(writer.begin(file("a", 2)).ok());
  EXPECT_FALSE(writer.write("abc").ok());
  EXPECT_FALSE(writer.begin(file("b")).ok());
  EXPECT_FALSE(writer.finish().ok());
}

}  // namespace
}  // namespace kiln::layer
