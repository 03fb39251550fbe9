// The configuration survives a round trip byte for byte in BuildKit's layout (a parent of 0 is left
// out, -1 is written), sorting depends on content only, and damaged ones are refused.
#include "remotecache/cache_config.h"

#include <gtest/gtest.h>

namespace kiln::remotecache {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

std::string example() {
  return R"({"layers":[{"blob":")" + kA + R"(","parent":-1},{"blob":")" + kB +
         R"("}],"records":[{"digest":"sha256:1"},{"layers":[{"layer":1,"createdAt":"2026-01-02T03:04:05.5Z"}],)" +
         R"("digest":"sha256:2","inputs":[[{"selector":"s","link":0}]]}]})";
}

TEST(CacheConfig, SurvivesARoundTrip) {
  auto config = parse_cache_config(example());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->layers[1].parent, 0);
  EXPECT_EQ(to_json(*config), example());
}

TEST(CacheConfig, SortsByContent) {
  auto config = *parse_cache_config(example());
  CacheConfig swapped;
  swapped.layers = {{Digest::trusted(kB), 1, {}}, {Digest::trusted(kA), -1, {}}};
  swapped.records = {config.records[1], config.records[0]};
  swapped.records[0].results[0].layer = 0;
  swapped.records[0].inputs[0][0].link = 1;
  sort_config(swapped);
  EXPECT_EQ(to_json(swapped), example());
}

TEST(CacheConfig, RefusesLoopsAndMissingParts) {
  EXPECT_FALSE(parse_cache_config("[]").ok());
  EXPECT_FALSE(parse_cache_config("{").ok());
  EXPECT_FALSE(parse_cache_config(R"({"records":[{"digest":"x","inputs":[[{"link":7}]]}]})").ok());
  EXPECT_FALSE(parse_cache_config(R"({"records":[{"digest":"x","inputs":[[]]}]})").ok());
  EXPECT_FALSE(parse_cache_config(R"({"layers":[{"blob":")" + kA + R"(","parent":1},{"blob":")" + kB + R"("}]})").ok());
  EXPECT_FALSE(parse_cache_config(R"({"records":[{"digest":"x","layers":[{"layer":3}]}]})").ok());
}

}  // namespace
}  // namespace kiln::remotecache
