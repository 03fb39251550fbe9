// Compressed streams come back whole in pieces of any size, have the same bytes for any number of
// threads, and damage is noticed.
#include "layer/compression.h"

#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/id.h"
#include "layer/estargz.h"
#include "layer/layer_encoder.h"
#include "layer/read_ahead.h"
#include "layer/tar_reader.h"
#include "layer/tar_writer.h"

namespace kiln::layer {
namespace {

// Text, random bytes and zeros, over several chunks.
std::string sample() {
  std::string out;
  for (int i = 0; i < 60000; ++i) out += "line " + std::to_string(i * 7919 % 10007) + " of the sample\n";
  out += random_bytes(1500000);
  out.append(700000, '\0');
  out += random_bytes(100);
  return out;
}

std::string pack(const CompressionOptions& options, std::string_view bytes, std::size_t piece) {
  StringSink sink;
  auto encoder = make_encoder(options, sink);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    EXPECT_TRUE((*encoder)->write(bytes.substr(at, piece)).ok());
  }
  EXPECT_TRUE((*encoder)->finish().ok());
  return sink.text();
}

class Pieces final : public ByteSource {
 public:
  Pieces(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    std::size_t n = std::min({buffer.size(), piece_, text_.size() - at_});
    text_.copy(buffer.data(), n, at_);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t piece_, at_ = 0;
};

Result<std::string> unpack(const std::string& packed, std::size_t piece) {
  KILN_ASSIGN_OR_RETURN(auto source, decompress(std::make_unique<Pieces>(packed, piece)));
  return read_all(*source, 100 << 20);
}

class EachCompression : public testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(All, EachCompression,
                         testing::Values(Compression::kUncompressed, Compression::kGzip, Compression::kZstd),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(EachCompression, ComesBackWholeWithTheSameBytesForAnyThreads) {
  std::string plain = sample();
  std::string one = pack({.type = GetParam(), .threads = 1}, plain, 100000);
  std::string three = pack({.type = GetParam(), .threads = 3}, plain, 3333333);
  EXPECT_EQ(Digest::of(one), Digest::of(three));
  for (std::size_t piece : {1u, 13u, 65536u, 100000000u}) {
    auto back = unpack(piece == 1 ? pack({.type = GetParam()}, plain.substr(0, 3000), 7) : one, piece);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_TRUE(*back == (piece == 1 ? plain.substr(0, 3000) : plain));
  }
}

TEST_P(EachCompression, NothingIsAStreamToo) {
  std::string packed = pack({.type = GetParam()}, "", 1);
  EXPECT_EQ(*unpack(packed, 100), "");
  EXPECT_EQ(detect(packed), GetParam());
}

TEST_P(EachCompression, CutShortOrDamagedIsAnError) {
  if (GetParam() == Compression::kUncompressed) return;
  std::string packed = pack({.type = GetParam()}, sample().substr(0, 300000), 1000);
  EXPECT_EQ(unpack(packed.substr(0, packed.size() - 3), 1000).status().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(unpack(packed.substr(0, packed.size() / 2), 1000).ok());
  packed[packed.size() / 2] ^= 0x55;
  EXPECT_FALSE(unpack(packed, 1000).ok());
}

TEST(Gzip, ReadsSeveralMembersCutAtAnyPlace) {
  std::string packed =
      pack({.type = Compression::kGzip}, "first ", 100) + pack({.type = Compression::kGzip}, "second", 100);
  for (std::size_t piece = 1; piece < packed.size(); ++piece) EXPECT_EQ(*unpack(packed, piece), "first second");
  EXPECT_EQ(*unpack(packed + std::string(100, '\0'), 9), "first second");
  EXPECT_FALSE(unpack(packed + "garbage", 9).ok());
}

// Text that no two machines may pack differently: the efforts are chosen by content, so the digests of
// the defaults are part of what a build promises.
std::string prose(std::size_t size) {
  std::string out;
  for (std::uint32_t i = 1; out.size() < size; i = i * 1664525 + 1013904223) {
    for (std::uint32_t word = i >> 8; word > 7; word >>= 4) out += static_cast<char>('a' + word % 26);
    out += i % 97 == 0 ? '\n' : ' ';
  }
  out.resize(size);
  return out;
}

TEST_P(EachCompression, TheChosenEffortDependsOnTheBytesAlone) {
  for (std::string plain : {prose(5 << 20), random_bytes(1 << 20) + prose(3 << 20), random_bytes(6 << 20), prose(200),
                            std::string(5 << 20, 'x')}) {
    std::string one = pack({.type = GetParam(), .threads = 1}, plain, 4096);
    for (int threads : {2, 5}) {
      EXPECT_EQ(Digest::of(one), Digest::of(pack({.type = GetParam(), .threads = threads}, plain, 300000 * threads)));
    }
    auto back = unpack(one, 1 << 20);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_TRUE(*back == plain);
  }
}

TEST(Gzip, TakesTheFastLevelOnlyWhereItCostsLittle) {
  std::string text = prose(4 << 20);
  auto size = [&](std::optional<int> level) {
    return pack({.type = Compression::kGzip, .level = level}, text, 1 << 20).size();
  };
  EXPECT_LE(size(std::nullopt) * 100, size(5) * 105);
  // Repeats that only a search finds.
  text.clear();
  for (int i = 0; text.size() < 4 << 20; ++i)
    text += prose(3000 + i % 17 * 40).substr(static_cast<std::size_t>(i) % 700) + "\n#include <a/b.h>\n";
  EXPECT_LE(size(std::nullopt) * 100, size(5) * 105);
}

TEST_P(EachCompression, AnEndAtTheEndOfTheReadersBufferIsAnEnd) {
  std::string packed = pack({.type = GetParam()}, std::string(1 << 20, 'x'), 1 << 20);
  auto source = *decompress(std::make_unique<Pieces>(packed, 1000));
  std::string buffer(1 << 18, '\0');
  std::size_t total = 0;
  while (true) {
    auto n = source->read(buffer);
    ASSERT_TRUE(n.ok()) << n.status();
    if (*n == 0) break;
    total += *n;
  }
  EXPECT_EQ(total, std::size_t{1 << 20});
}

TEST(Compression, LevelsAndNamesAreChecked) {
  StringSink sink;
  EXPECT_EQ(make_encoder({.type = Compression::kGzip, .level = 10}, sink).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(make_encoder({.type = Compression::kZstd, .level = 23}, sink).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(parse_compression("lzma").status().code(), Code::kInvalidArgument);
  EXPECT_LT(pack({.type = Compression::kGzip, .level = 9}, sample(), 100000).size(),
            pack({.type = Compression::kGzip, .level = 1}, sample(), 100000).size());
}

TEST(LayerEncoder, GivesTheDiffIdAndCounts) {
  std::string plain = sample();
  StringSink sink;
  auto encoder = *LayerEncoder::make({.type = Compression::kZstd}, sink);
  ASSERT_TRUE(encoder->write(plain).ok());
  auto layer = encoder->finish();
  ASSERT_TRUE(layer.ok());
  EXPECT_EQ(layer->diff_id, Digest::of(plain));
  EXPECT_EQ(layer->plain_size, plain.size());
  EXPECT_EQ(layer->encoded_size, sink.text().size());
}

TEST(Estargz, IsAPlainLayerWithATableAtItsEnd) {
  StringSink tar_bytes;
  TarWriter tar(tar_bytes);
  TarEntry folder{.name = "d/", .type = EntryType::kDirectory, .mode = 0755, .mtime = {1600000000, 0}};
  TarEntry big{.name = "d/" + std::string(120, 'b'), .mode = 0644, .size = 9 << 20, .mtime = {1600000000, 0}};
  TarEntry small{.name = "s", .mode = 0644, .size = 5, .xattrs = {{"user.k", "v"}}};
  std::string body = random_bytes(9 << 20);
  ASSERT_TRUE(tar.begin(folder).ok() && tar.begin(big).ok() && tar.write(body).ok());
  ASSERT_TRUE(tar.begin(small).ok() && tar.write("hello").ok() && tar.finish().ok());

  StringSink sink;
  auto encoder = *LayerEncoder::make({.type = Compression::kEstargz}, sink);
  for (std::size_t at = 0; at < tar_bytes.text().size(); at += 7777) {
    ASSERT_TRUE(encoder->write(std::string_view(tar_bytes.text()).substr(at, 7777)).ok());
  }
  auto layer = encoder->finish();
  ASSERT_TRUE(layer.ok()) << layer.status();
  auto plain = unpack(sink.text(), 100000);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_TRUE(plain->starts_with(tar_bytes.text()));
  EXPECT_EQ(layer->diff_id, Digest::of(*plain));
  EXPECT_EQ(layer->annotations.at(kPlainSizeAnnotation), std::to_string(plain->size()));

  std::string footer = sink.text().substr(sink.text().size() - 51);
  std::size_t offset = std::stoul(footer.substr(16, 16), nullptr, 16);
  EXPECT_EQ(footer.substr(32, 6), "STARGZ");
  auto toc_tar = unpack(sink.text().substr(offset), 1000);
  StringSource toc_source(*toc_tar);
  TarReader toc_reader(toc_source);
  ASSERT_EQ((*toc_reader.next())->name, "stargz.index.json");
  std::string toc(*toc_reader.read_piece());
  EXPECT_EQ(layer->annotations.at(kTocDigestAnnotation), Digest::of(toc).str());
  EXPECT_NE(toc.find("\"type\": \"chunk\",\n\t\t\t\"offset\": "), std::string::npos);
  EXPECT_NE(toc.find("\"xattrs\": {\n\t\t\t\t\"user.k\": \"dg==\"\n"), std::string::npos) << toc;
  // The contents of the small file begin a member.
  auto at = toc.rfind("\"offset\": ");
  auto contents = unpack(sink.text().substr(std::stoul(toc.substr(at + 10))), 1000);
  EXPECT_TRUE(contents->starts_with("hello"));
}

TEST(ReadAhead, PassesEverythingAndErrors) {
  std::string plain = sample();
  auto ahead = read_ahead(std::make_unique<Pieces>(plain, 40000));
  EXPECT_TRUE(*read_all(*ahead, 100 << 20) == plain);
  std::string packed = pack({.type = Compression::kGzip}, plain, 1 << 20);
  auto broken = read_ahead(*decompress(std::make_unique<Pieces>(packed.substr(0, packed.size() - 1), 4096)));
  EXPECT_FALSE(read_all(*broken, 100 << 20).ok());
  // Left half read: its thread must end.
  auto left = read_ahead(std::make_unique<Pieces>(plain, 40000));
  std::string buffer(600000, '\0');
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(left->read(buffer).ok());
}

}  // namespace
}  // namespace kiln::layer
