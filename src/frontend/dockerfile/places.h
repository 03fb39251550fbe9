// From places in the text to what graphs, errors and warnings carry.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/location.h"
#include "graph/source_map.h"

namespace kiln::frontend::dockerfile {

inline constexpr const char* kSourceDetail = "github.com/moby/buildkit/errdefs.Source";

std::vector<graph::Range> graph_ranges(const Ranges& ranges);

// Turns the places that an error carries into details with the file's bytes, which clients print as
// an excerpt; the first place is the innermost. An error that already has such a detail (of a nested
// frontend) keeps it in front.
Status with_source_details(Status status, const std::shared_ptr<const graph::SourceInfo>& text);
// Whether the error carries such a detail.
bool has_source_detail(const Status& status);

}  // namespace kiln::frontend::dockerfile
