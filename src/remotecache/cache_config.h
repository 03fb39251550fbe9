// The configuration of an exported cache as plain data: which keys lead to which layers.
//
// Format: application/vnd.buildkit.cacheconfig.v0. Records refer to each other and to layers by
// index. A record's `digest` is its out-key: root_key(op digest, output), or the key itself for a
// record without inputs. See docs/formats/cache.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/status.h"

namespace kiln::remotecache {

inline constexpr std::string_view kCacheConfigType = "application/vnd.buildkit.cacheconfig.v0";

// What the stores without manifests (s3, azblob, gha) keep of a layer beside its digest.
struct LayerAnnotations {
  std::string media_type;
  std::string diff_id;
  std::int64_t size = 0;
  std::optional<Time> created;
};

struct CacheLayer {
  Digest blob;
  int parent = -1;  // index, -1: none
  std::optional<LayerAnnotations> annotations;
};

// A layer with all its parents.
struct CacheResult {
  int layer = 0;
  std::optional<Time> created;
};
// Layers in this order, without their parents.
struct ChainedResult {
  std::vector<int> layers;
  std::optional<Time> created;
};
struct CacheInput {
  std::string selector;
  int link = 0;  // index of a record
};
struct CacheRecord {
  std::vector<CacheResult> results;
  std::vector<ChainedResult> chains;
  std::string digest;
  std::vector<std::vector<CacheInput>> inputs;
};

struct CacheConfig {
  std::vector<CacheLayer> layers;
  std::vector<CacheRecord> records;
};

// FailedPrecondition (fault: peer) for what is no configuration; indexes are checked, loops are not.
Result<CacheConfig> parse_cache_config(std::string_view json);
// The records alone, as an image carries them; indexes of layers are those of the image.
Result<std::vector<CacheRecord>> parse_cache_records(std::string_view json);
std::string to_json(const CacheConfig& config);
std::string to_json(const std::vector<CacheRecord>& records);

// Puts layers and records into the order that depends on nothing but their content, and renumbers.
void sort_config(CacheConfig& config);

}  // namespace kiln::remotecache
