#include "frontend/dockerfile/places.h"

#include <fmt/format.h>

#include "frontend/dockerfile/source_words.h"
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

std::vector<Ranges> places_in(const Status& status, std::string_view text) {
  std::vector<Ranges> places = ranges_of(status);
  if (places.empty()) return places;
  if (auto word = find_word(text, places.front(), word_of(status))) {
    for (Range& range : places.front()) {
      if (range.start.line == word->start.line) range = *word;
    }
  }
  return places;
}

bool has_source_detail(const Status& status) { return get_detail(status, kSourceDetail).has_value(); }

Status with_source_details(Status status, const std::shared_ptr<const graph::SourceInfo>& text) {
  if (status.ok() || !text) return status;
  for (const auto& ranges : places_in(status, text->data)) {
    // Several details of one type are numbered from the second on.
    std::string type = kSourceDetail;
    for (int number = 2; get_detail(status, type); ++number) type = fmt::format("{}#{}", kSourceDetail, number);
    set_detail(status, type, graph::encode_source_ref({text, graph_ranges(ranges)}));
  }
  return without_ranges(std::move(status));
}

}  // namespace kiln::frontend::dockerfile
