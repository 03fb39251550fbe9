// Where in a text a thing came from: ranges of files, so that an error or a warning can show the
// line. Carried by definitions (digest of an op → its locations) and by errors.
//
// Format: pb.SourceInfo, pb.Range, pb.Position of moby/buildkit solver/pb/ops.proto. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kiln::graph {

struct Position {
  std::int32_t line = 0;       // 1-based
  std::int32_t character = 0;  // 0-based
  bool operator==(const Position&) const = default;
};

struct Range {
  Position start;
  Position end;
  bool operator==(const Range&) const = default;
};

// One text: its name, its bytes, its language ("Dockerfile"), and the serialised definition of the
// source that holds it (empty when there is none).
struct SourceInfo {
  std::string filename;
  std::string data;
  std::string language;
  std::string definition;
};

struct Location {
  std::int32_t source_index = 0;  // into SourceMap::infos
  std::vector<Range> ranges;
};

struct SourceMap {
  std::vector<SourceInfo> infos;
  std::map<std::string, std::vector<Location>> locations;  // by digest of op

  bool empty() const { return infos.empty() && locations.empty(); }
};

// One text and the ranges meant, as errors and warnings carry it.
struct SourceRef {
  std::shared_ptr<const SourceInfo> info;
  std::vector<Range> ranges;
};

}  // namespace kiln::graph
