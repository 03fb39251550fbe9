// What is worth compressing is told from what is not, by the bytes alone, and nothing gets lost between
// the runs; what is stored is still a stream that libzstd and ISA-L read.
#include "layer/internal/random_runs.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include "base/id.h"
#include "layer/internal/gzip_chunk.h"
#include "layer/internal/zstd_chunk.h"

namespace kiln::layer::internal {
namespace {

std::string text_of(std::size_t size) {
  std::string out;
  for (int i = 0; out.size() < size; ++i)
    out += "value_" + std::to_string(i * 7919 % 100003) + " = call(" + std::to_string(i) + ")\n";
  out.resize(size);
  return out;
}

std::string joined(const std::vector<Run>& runs) {
  std::string out;
  for (const Run& run : runs) out += run.bytes;
  return out;
}

TEST(RandomRuns, AreTheChunkInOrderAndAlternate) {
  for (std::string chunk :
       {std::string(), std::string("x"), text_of(300'000), random_bytes(300'000),
        text_of(2 * kSegmentBytes) + random_bytes(3 * kSegmentBytes) + text_of(kSegmentBytes + 1)}) {
    auto runs = random_runs(chunk);
    EXPECT_TRUE(joined(runs) == chunk);
    for (std::size_t i = 1; i < runs.size(); ++i) EXPECT_NE(runs[i].random, runs[i - 1].random);
  }
  auto runs = random_runs(text_of(2 * kSegmentBytes) + random_bytes(3 * kSegmentBytes) + text_of(kSegmentBytes + 1));
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_FALSE(runs[0].random);
  EXPECT_TRUE(runs[1].random);
  EXPECT_EQ(runs[1].bytes.size(), 3 * kSegmentBytes);
}

TEST(RandomRuns, FindWhatCompressesThoughItLooksFlat) {
  EXPECT_TRUE(looks_incompressible(random_bytes(kSegmentBytes)));
  EXPECT_FALSE(looks_incompressible(random_bytes(kSegmentBytes / 2 - 1)));  // not worth a run
  EXPECT_FALSE(looks_incompressible(std::string(kSegmentBytes, '\0')));
  std::string base64;  // three quarters of a byte each
  for (char c : random_bytes(kSegmentBytes))
    base64 += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[c & 63];
  EXPECT_FALSE(looks_incompressible(base64));
  std::string repeated;  // every byte as often as any other, and the same again and again
  const std::string once = random_bytes(4000);
  while (repeated.size() < kSegmentBytes) repeated += once;
  EXPECT_FALSE(looks_incompressible(repeated));
}

TEST(RandomRuns, TheTypicalPartIsOfTheLongestRunOfText) {
  const std::string text = text_of(5 * kSegmentBytes), noise = random_bytes(kSegmentBytes);
  const std::string chunk = text_of(kSegmentBytes) + noise + text + noise;
  auto runs = random_runs(chunk);
  auto part = typical_part(runs, 1000);
  EXPECT_EQ(part.size(), 1000u);
  EXPECT_EQ(static_cast<std::size_t>(part.data() - chunk.data()), 2 * kSegmentBytes + (5 * kSegmentBytes - 1000) / 2);
  EXPECT_EQ(typical_part(random_runs(noise), 1000), "");
  EXPECT_EQ(typical_part({}, 1000), "");
  EXPECT_EQ(typical_part(random_runs("short"), 1000), "short");
}

std::string unzstd(const std::string& frames) {
  std::string out(8 << 20, '\0');
  std::size_t n = ZSTD_decompress(out.data(), out.size(), frames.data(), frames.size());
  EXPECT_FALSE(ZSTD_isError(n)) << ZSTD_getErrorName(n);
  out.resize(ZSTD_isError(n) ? 0 : n);
  return out;
}

TEST(StoredFrame, IsReadByLibzstdAtTheBordersOfItsBlocks) {
  for (std::size_t size : {1, 255, 65536, 131071, 131072, 131073, 262144, 2'000'001}) {
    std::string bytes = random_bytes(size), frame;
    append_stored_frame(bytes, frame);
    EXPECT_LE(frame.size(), size + 9 + 3 * (size / 131072 + 1));
    EXPECT_EQ(ZSTD_getFrameContentSize(frame.data(), frame.size()), size);
    EXPECT_TRUE(unzstd(frame) == bytes) << size;
  }
}

TEST(Chunkers, GiveTheSameBytesWhateverTheyPackedBefore) {
  const std::string first = text_of(700'000) + random_bytes(kSegmentBytes * 3),
                    second = random_bytes(400'000) + text_of(400'000);
  auto packed = [](ChunkPacker& packer, const std::string& chunk) {
    std::string out;
    EXPECT_TRUE(packer.pack(chunk, out));
    return out;
  };
  GzipChunker gzip_one, gzip_two;
  EXPECT_TRUE(packed(gzip_one, first) != packed(gzip_one, second));
  EXPECT_TRUE(packed(gzip_one, first) == packed(gzip_two, first));
  ZstdChunker zstd_one, zstd_two;
  EXPECT_TRUE(packed(zstd_one, second) != packed(zstd_one, first));
  EXPECT_TRUE(packed(zstd_one, second) == packed(zstd_two, second));
  EXPECT_TRUE(unzstd(packed(zstd_one, first)) == first);
  EXPECT_TRUE(unzstd(packed(zstd_one, second)) == second);
  EXPECT_EQ(unzstd(packed(zstd_one, "")), "");
}

TEST(Chunkers, StoreNoiseAtTheCostOfItsHeaders) {
  const std::string noise = random_bytes(kZstdChunkBytes);
  std::string out;
  ASSERT_TRUE(ZstdChunker().pack(noise, out));
  EXPECT_LE(out.size(), noise.size() + 100);
  out.clear();
  ASSERT_TRUE(GzipChunker().pack(noise.substr(0, kGzipChunkBytes), out));
  EXPECT_LE(out.size(), kGzipChunkBytes + 200);
}

}  // namespace
}  // namespace kiln::layer::internal
