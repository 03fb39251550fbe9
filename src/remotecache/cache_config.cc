#include "remotecache/cache_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "content/json_text.h"

namespace kiln::remotecache {
namespace {

using nlohmann::json;

constexpr const char* kZeroTime = "0001-01-01T00:00:00Z";

std::string time_text(const std::optional<Time>& time) { return time ? format_rfc3339(*time) : kZeroTime; }

std::optional<Time> read_time(const json& object, const char* key) {
  auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return std::nullopt;
  std::string text = it->get<std::string>();
  if (text == kZeroTime) return std::nullopt;
  auto time = parse_rfc3339(text);
  return time.ok() ? std::optional(*time) : std::nullopt;
}

CacheLayer read_layer(const json& in) {
  CacheLayer out;
  out.blob = Digest::trusted(in.value("blob", ""));
  out.parent = in.value("parent", 0);
  if (auto it = in.find("annotations"); it != in.end() && it->is_object()) {
    out.annotations = LayerAnnotations{it->value("mediaType", ""), it->value("diffID", ""),
                                       it->value("size", std::int64_t{0}), read_time(*it, "createdAt")};
  }
  return out;
}

CacheRecord read_record(const json& in) {
  CacheRecord out;
  out.digest = in.value("digest", "");
  for (const auto& result : in.value("layers", json::array())) {
    out.results.push_back({result.value("layer", 0), read_time(result, "createdAt")});
  }
  for (const auto& chain : in.value("chains", json::array())) {
    out.chains.push_back({chain.value("layers", std::vector<int>()), read_time(chain, "createdAt")});
  }
  for (const auto& alternatives : in.value("inputs", json::array())) {
    auto& input = out.inputs.emplace_back();
    if (alternatives.is_null()) continue;
    for (const auto& link : alternatives) input.push_back({link.value("selector", ""), link.value("link", 0)});
  }
  return out;
}

Status bad(std::string_view why) {
  return peer_error(Code::kFailedPrecondition, fmt::format("invalid cache configuration: {}", why));
}

Status check_records(const std::vector<CacheRecord>& records) {
  int count = static_cast<int>(records.size());
  for (const auto& record : records) {
    for (const auto& input : record.inputs) {
      if (input.empty()) return bad("empty input");
      for (const auto& link : input) {
        if (link.link < 0 || link.link >= count) return bad(fmt::format("record {} does not exist", link.link));
      }
    }
  }
  return ok();
}

Status check_layers(const CacheConfig& config) {
  int count = static_cast<int>(config.layers.size());
  for (int i = 0; i < count; ++i) {
    const auto& layer = config.layers[i];
    if (layer.parent < -1 || layer.parent >= count) return bad(fmt::format("layer {} does not exist", layer.parent));
    KILN_RETURN_IF_ERROR(Digest::parse(layer.blob.str()).status());
    int steps = 0;
    for (int at = i; at != -1; at = config.layers[at].parent) {
      if (++steps > count) return bad("looping layer");
    }
  }
  for (const auto& record : config.records) {
    for (const auto& result : record.results) {
      if (result.layer < 0 || result.layer >= count) return bad(fmt::format("layer {} does not exist", result.layer));
    }
    for (const auto& chain : record.chains) {
      for (int layer : chain.layers) {
        if (layer < 0 || layer >= count) return bad(fmt::format("layer {} does not exist", layer));
      }
    }
  }
  return ok();
}

void write_layer(content::JsonWriter& w, const CacheLayer& layer) {
  w.begin_object();
  w.string_if("blob", layer.blob.str());
  if (layer.parent != 0) {
    w.key("parent");
    w.integer(layer.parent);
  }
  if (layer.annotations) {
    w.key("annotations");
    w.begin_object();
    w.string_if("mediaType", layer.annotations->media_type);
    w.string_if("diffID", layer.annotations->diff_id);
    if (layer.annotations->size != 0) {
      w.key("size");
      w.integer(layer.annotations->size);
    }
    w.key("createdAt");
    w.string(time_text(layer.annotations->created));
    w.end_object();
  }
  w.end_object();
}

void write_results(content::JsonWriter& w, const CacheRecord& record) {
  if (!record.results.empty()) {
    w.key("layers");
    w.begin_array();
    for (const auto& result : record.results) {
      w.begin_object();
      w.key("layer");
      w.integer(result.layer);
      w.key("createdAt");
      w.string(time_text(result.created));
      w.end_object();
    }
    w.end_array();
  }
  if (record.chains.empty()) return;
  w.key("chains");
  w.begin_array();
  for (const auto& chain : record.chains) {
    w.begin_object();
    w.key("layers");
    w.begin_array();
    for (int layer : chain.layers) w.integer(layer);
    w.end_array();
    w.key("createdAt");
    w.string(time_text(chain.created));
    w.end_object();
  }
  w.end_array();
}

void write_record(content::JsonWriter& w, const CacheRecord& record) {
  w.begin_object();
  write_results(w, record);
  w.string_if("digest", record.digest);
  if (!record.inputs.empty()) {
    w.key("inputs");
    w.begin_array();
    for (const auto& input : record.inputs) {
      w.begin_array();
      for (const auto& link : input) {
        w.begin_object();
        w.string_if("selector", link.selector);
        w.key("link");
        w.integer(link.link);
        w.end_object();
      }
      w.end_array();
    }
    w.end_array();
  }
  w.end_object();
}

void write_records(content::JsonWriter& w, const std::vector<CacheRecord>& records) {
  w.begin_array();
  for (const auto& record : records) write_record(w, record);
  w.end_array();
}

// new_index[old] for a permutation given as the old indexes in new order.
std::vector<int> inverse(const std::vector<int>& order) {
  std::vector<int> out(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  return out;
}

// What a record says without mentioning indexes, for sorting.
std::vector<std::string> sort_key(const CacheConfig& config, const CacheRecord& record) {
  std::vector<std::string> out = {record.digest, fmt::format("{:06}", record.inputs.size())};
  for (const auto& input : record.inputs) {
    out.push_back(fmt::format("{:06}", input.size()));
    for (const auto& link : input) {
      out.push_back(link.selector);
      out.push_back(config.records[static_cast<std::size_t>(link.link)].digest);
    }
  }
  return out;
}

}  // namespace

Result<CacheConfig> parse_cache_config(std::string_view text) {
  CacheConfig out;
  try {
    json in = json::parse(text);
    if (!in.is_object()) return bad("no object");
    for (const auto& layer : in.value("layers", json::array())) out.layers.push_back(read_layer(layer));
    for (const auto& record : in.value("records", json::array())) out.records.push_back(read_record(record));
  } catch (const json::exception& e) {
    return bad(e.what());
  }
  KILN_RETURN_IF_ERROR(check_records(out.records));
  KILN_RETURN_IF_ERROR(check_layers(out));
  return out;
}

Result<std::vector<CacheRecord>> parse_cache_records(std::string_view text) {
  std::vector<CacheRecord> out;
  try {
    json in = json::parse(text);
    for (const auto& record : in) out.push_back(read_record(record));
  } catch (const json::exception& e) {
    return bad(e.what());
  }
  KILN_RETURN_IF_ERROR(check_records(out));
  return out;
}

std::string to_json(const CacheConfig& config) {
  content::JsonWriter w;
  w.begin_object();
  if (!config.layers.empty()) {
    w.key("layers");
    w.begin_array();
    for (const auto& layer : config.layers) write_layer(w, layer);
    w.end_array();
  }
  if (!config.records.empty()) {
    w.key("records");
    write_records(w, config.records);
  }
  w.end_object();
  return w.take();
}

std::string to_json(const std::vector<CacheRecord>& records) {
  content::JsonWriter w;
  write_records(w, records);
  return w.take();
}

void sort_config(CacheConfig& config) {
  std::vector<int> layer_order(config.layers.size());
  std::iota(layer_order.begin(), layer_order.end(), 0);
  std::sort(layer_order.begin(), layer_order.end(), [&](int a, int b) {
    const auto& x = config.layers[static_cast<std::size_t>(a)];
    const auto& y = config.layers[static_cast<std::size_t>(b)];
    return std::pair(x.blob, x.parent) < std::pair(y.blob, y.parent);
  });
  std::vector<std::vector<std::string>> keys;
  for (const auto& record : config.records) keys.push_back(sort_key(config, record));
  std::vector<int> record_order(config.records.size());
  std::iota(record_order.begin(), record_order.end(), 0);
  std::stable_sort(record_order.begin(), record_order.end(),
                   [&](int a, int b) { return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)]; });
  auto new_layer = inverse(layer_order);
  auto new_record = inverse(record_order);
  CacheConfig out;
  for (int old : layer_order) {
    auto layer = config.layers[static_cast<std::size_t>(old)];
    if (layer.parent >= 0) layer.parent = new_layer[static_cast<std::size_t>(layer.parent)];
    out.layers.push_back(std::move(layer));
  }
  for (int old : record_order) {
    auto record = std::move(config.records[static_cast<std::size_t>(old)]);
    for (auto& result : record.results) result.layer = new_layer[static_cast<std::size_t>(result.layer)];
    for (auto& chain : record.chains) {
      for (int& layer : chain.layers) layer = new_layer[static_cast<std::size_t>(layer)];
    }
    for (auto& input : record.inputs) {
      for (auto& link : input) link.link = new_record[static_cast<std::size_t>(link.link)];
      std::sort(input.begin(), input.end(), [](const auto& a, const auto& b) { return a.link < b.link; });
    }
    out.records.push_back(std::move(record));
  }
  config = std::move(out);
}

}  // namespace kiln::remotecache
