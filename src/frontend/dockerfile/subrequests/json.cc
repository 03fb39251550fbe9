// Parts of LLB as Go's encoding/json prints the generated structs: names of the fields, empty ones
// left out.
#include "base/base64.h"
#include "frontend/dockerfile/subrequests/reports.h"
#include "graph/definition.h"

namespace kiln::frontend::dockerfile {
namespace {

using content::JsonWriter;

void integer_if(JsonWriter& json, std::string_view name, std::int64_t value) {
  if (value == 0) return;
  json.key(name);
  json.integer(value);
}

void flag_if(JsonWriter& json, std::string_view name, bool value) {
  if (!value) return;
  json.key(name);
  json.boolean(true);
}

void write_position(JsonWriter& json, std::string_view name, int line, int character) {
  json.key(name);
  json.begin_object();
  integer_if(json, "line", line);
  integer_if(json, "character", character);
  json.end_object();
}

void write_ranges(JsonWriter& json, const std::vector<graph::Range>& ranges) {
  if (ranges.empty()) return;
  json.key("ranges");
  json.begin_array();
  for (const auto& range : ranges) {
    json.begin_object();
    write_position(json, "start", range.start.line, range.start.character);
    write_position(json, "end", range.end.line, range.end.character);
    json.end_object();
  }
  json.end_array();
}

void write_source_map(JsonWriter& json, const graph::SourceMap& map) {
  json.begin_object();
  if (!map.locations.empty()) {
    json.key("locations");
    json.begin_object();
    for (const auto& [digest, locations] : map.locations) {
      json.key(digest);
      json.begin_object();
      if (!locations.empty()) {
        json.key("locations");
        json.begin_array();
        for (const auto& location : locations) {
          json.begin_object();
          integer_if(json, "sourceIndex", location.source_index);
          write_ranges(json, location.ranges);
          json.end_object();
        }
        json.end_array();
      }
      json.end_object();
    }
    json.end_object();
  }
  if (!map.infos.empty()) {
    json.key("infos");
    json.begin_array();
    for (const auto& info : map.infos) write_source_info(json, info);
    json.end_array();
  }
  json.end_object();
}

void write_definition(JsonWriter& json, const graph::Definition& definition) {
  json.begin_object();
  if (!definition.ops.empty()) {
    json.key("def");
    json.begin_array();
    for (const auto& op : definition.ops) json.string(base64_encode(op));
    json.end_array();
  }
  if (!definition.metadata.empty()) {
    json.key("metadata");
    json.begin_object();
    for (const auto& [digest, metadata] : definition.metadata) {
      json.key(digest);
      write_metadata(json, metadata);
    }
    json.end_object();
  }
  if (definition.source) {
    json.key("Source");
    write_source_map(json, *definition.source);
  }
  json.end_object();
}

void write_resources(JsonWriter& json, const graph::LinuxResources& resources) {
  json.key("linux_resources");
  json.begin_object();
  integer_if(json, "memory", resources.memory);
  integer_if(json, "memorySwap", resources.memory_swap);
  integer_if(json, "cpuShares", static_cast<std::int64_t>(resources.cpu_shares));
  integer_if(json, "cpuPeriod", static_cast<std::int64_t>(resources.cpu_period));
  integer_if(json, "cpuQuota", resources.cpu_quota);
  json.string_if("cpusetCpus", resources.cpuset_cpus);
  json.string_if("cpusetMems", resources.cpuset_mems);
  json.end_object();
}

}  // namespace

void write_location(JsonWriter& json, const Ranges& ranges, int source_index) {
  json.begin_object();
  integer_if(json, "sourceIndex", source_index);
  write_ranges(json, graph_ranges(ranges));
  json.end_object();
}

void write_metadata(JsonWriter& json, const graph::OpMetadata& metadata) {
  json.begin_object();
  flag_if(json, "ignore_cache", metadata.ignore_cache);
  json.map_if("description", metadata.description);
  if (metadata.export_cache) {
    json.key("export_cache");
    json.begin_object();
    flag_if(json, "Value", *metadata.export_cache);
    json.end_object();
  }
  if (!metadata.caps.empty()) {
    json.key("caps");
    json.begin_object();
    for (const auto& [cap, on] : metadata.caps) {
      json.key(cap);
      json.boolean(on);
    }
    json.end_object();
  }
  if (metadata.progress_group) {
    json.key("progress_group");
    json.begin_object();
    json.string_if("id", metadata.progress_group->id);
    json.string_if("name", metadata.progress_group->name);
    flag_if(json, "weak", metadata.progress_group->weak);
    json.end_object();
  }
  if (metadata.linux_resources) write_resources(json, *metadata.linux_resources);
  json.end_object();
}

void write_source_info(JsonWriter& json, const graph::SourceInfo& info) {
  json.begin_object();
  json.string_if("filename", info.filename);
  json.string_if("data", base64_encode(info.data));
  if (auto definition = graph::decode_definition(info.definition); !info.definition.empty() && definition.ok()) {
    json.key("definition");
    write_definition(json, *definition);
  }
  json.string_if("language", info.language);
  json.end_object();
}

}  // namespace kiln::frontend::dockerfile
