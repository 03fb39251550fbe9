// Questions that a client may ask of a Dockerfile instead of building it.
//
// Requests and results: BuildKit's "frontend.subrequests.describe", "frontend.outline",
// "frontend.targets", "frontend.lint" (1.0.0) and "frontend.convertllb" (0.1.0); each gives
// "result.json", most "result.txt", and "version" as metadata. JSON is laid out as Go prints it.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "content/json_text.h"
#include "frontend/dockerfile/build_run.h"

namespace kiln::frontend::dockerfile {

Result<SolveResult> describe_requests();
Result<SolveResult> outline_target(BuildRun& run, std::stop_token stop);
Result<SolveResult> list_targets(BuildRun& run);
Result<SolveResult> lint_file(BuildRun& run, std::stop_token stop);
Result<SolveResult> convert_to_llb(BuildRun& run, std::stop_token stop);

// ---- parts of them ------------------------------------------------------------------------

// {"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]}; `source_index` is left out when 0.
void write_location(content::JsonWriter& json, const Ranges& ranges, int source_index = 0);
void write_metadata(content::JsonWriter& json, const graph::OpMetadata& metadata);
void write_source_info(content::JsonWriter& json, const graph::SourceInfo& info);

// Rows of cells; all but the last cell of a row are padded to the width of their column.
std::string text_table(const std::vector<std::vector<std::string>>& rows, int gap);

}  // namespace kiln::frontend::dockerfile
