// Records that travel inside an image's configuration: their layers are the image's own, by position.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "remotecache/cache_config.h"
#include "remotecache/collect.h"

namespace kiln::remotecache {
namespace {

// Positions in the image of a layer chain, bottom first; nothing when one is not in the image.
std::optional<std::vector<int>> positions(const CacheConfig& config, int layer, const std::map<Digest, int>& in_image) {
  std::vector<int> out;
  for (int at = layer; at != -1; at = config.layers[static_cast<std::size_t>(at)].parent) {
    auto it = in_image.find(config.layers[static_cast<std::size_t>(at)].blob);
    if (it == in_image.end()) return std::nullopt;
    out.push_back(it->second);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

// The record's layers by the image's numbers. A chain that is the image's beginning is one number,
// others are listed.
void renumber(const CacheConfig& config, const std::map<Digest, int>& in_image, CacheRecord& record) {
  std::vector<CacheResult> results;
  for (const auto& result : record.results) {
    auto at = positions(config, result.layer, in_image);
    if (!at || at->empty()) continue;
    bool is_prefix = true;
    for (std::size_t i = 0; i < at->size(); ++i) is_prefix &= (*at)[i] == static_cast<int>(i);
    if (is_prefix) {
      results.push_back({static_cast<int>(at->size()) - 1, result.created});
    } else {
      record.chains.push_back({*at, result.created});
    }
  }
  record.results = std::move(results);
}

}  // namespace

Result<std::string> inline_cache(const Exported& result, const std::vector<store::LayerBlob>& layers,
                                 const Ports& ports, std::vector<solve::CacheSource> imports) {
  if (result.keys.empty() || layers.empty()) return std::string();
  Context context{{}, event::null_reporter(), {}, "", std::move(imports)};
  CollectOptions options;
  options.mode = Mode::kMin;
  KILN_ASSIGN_OR_RETURN(auto collected, collect({result}, options, ports, context));
  std::map<Digest, int> in_image;
  std::map<Digest, int> by_diff_id;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    in_image.try_emplace(layers[i].blob.digest, static_cast<int>(i));
    by_diff_id.try_emplace(layers[i].diff_id, static_cast<int>(i));
  }
  // The same contents in another compression count as the image's layer.
  for (const auto& [digest, blob] : collected.blobs) {
    if (auto it = by_diff_id.find(blob.diff_id); it != by_diff_id.end()) in_image.try_emplace(digest, it->second);
  }
  bool any = false;
  for (auto& record : collected.config.records) {
    renumber(collected.config, in_image, record);
    any |= !record.results.empty() || !record.chains.empty();
  }
  if (!any) {
    log_warn("inline cache: no record matches a layer of the image");
    return std::string();
  }
  return to_json(collected.config.records);
}

}  // namespace kiln::remotecache
