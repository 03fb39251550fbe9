// From places in the text to what graphs, errors and warnings carry.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/location.h"
#include "graph/source_map.h"

namespace kiln::frontend::dockerfile {

inline constexpr const char* kSourceDetail = "github.com/moby/buildkit/errdefs.Source";

std::vector<graph::Range> graph_ranges(const Ranges& ranges);

// The places an error carries; within the innermost, the line of the error's word is narrowed to the
// word itself (start.character < end.character).
std::vector<Ranges> places_in(const Status& status, std::string_view text);

// Turns the places that an error carries into details with the file's bytes, which clients print as
// an excerpt; the first place is the innermost. An error that already has such a detail (of a nested
// frontend) keeps it in front.
Status with_source_details(Status status, const std::shared_ptr<const graph::SourceInfo>& text);
// Whether the error carries such a detail.
bool has_source_detail(const Status& status);

}  // namespace kiln::frontend::dockerfile
