#include "frontend/dockerfile/places.h"

#include <fmt/format.h>

#include "graph/definition.h"

namespace kiln::frontend::dockerfile {

std::vector<graph::Range> graph_ranges(const Ranges& ranges) {
  std::vector<graph::Range> out;
  out.reserve(ranges.size());
  for (const auto& r : ranges) {
    out.push_back({{r.start.line, r.start.character}, {r.end.line, r.end.character}});
  }
  return out;
}

bool has_source_detail(const Status& status) { return get_detail(status, kSourceDetail).has_value(); }

Status with_source_details(Status status, const std::shared_ptr<const graph::SourceInfo>& text) {
  if (status.ok() || !text) return status;
  for (const auto& ranges : ranges_of(status)) {
    // Several details of one type are numbered from the second on.
    std::string type = kSourceDetail;
    for (int number = 2; get_detail(status, type); ++number) type = fmt::format("{}#{}", kSourceDetail, number);
    set_detail(status, type, graph::encode_source_ref({text, graph_ranges(ranges)}));
  }
  return without_ranges(std::move(status));
}

}  // namespace kiln::frontend::dockerfile
