#include "base/base64.h"
#include "frontend/dockerfile/subrequests/reports.h"

namespace kiln::frontend::dockerfile {

namespace {

void write_target(content::JsonWriter& json, const Stage& stage, bool is_default) {
  json.begin_object();
  json.string_if("name", stage.name);
  if (is_default) {
    json.key("default");
    json.boolean(true);
  }
  json.string_if("description", stage.doc);
  json.string_if("base", stage.base);
  json.string_if("platform", stage.platform);
  if (!stage.ranges.empty()) {
    json.key("location");
    write_location(json, stage.ranges);
  }
  json.end_object();
}

}  // namespace

Result<SolveResult> list_targets(BuildRun& run) {
  Linter silent;
  const std::string& text = run.build_file.text->data;
  KILN_ASSIGN_OR_RETURN(Dockerfile file, parse_dockerfile(text, silent));
  content::JsonWriter json(content::JsonLayout::kIndented);
  std::vector<std::vector<std::string>> rows = {{"TARGET", "DESCRIPTION"}};
  json.begin_object();
  json.key("targets");
  if (file.stages.empty()) {
    json.null();
  } else {
    json.begin_array();
    for (const Stage& stage : file.stages) {
      const bool is_default = &stage == &file.stages.back();
      write_target(json, stage, is_default);
      std::string shown = stage.name;
      if (is_default) shown += shown.empty() ? "(default)" : " (default)";
      rows.push_back({std::move(shown), stage.doc});
    }
    json.end_array();
  }
  json.key("sources");
  json.begin_array();
  json.string(base64_encode(text));
  json.end_array();
  json.end_object();
  SolveResult out;
  out.metadata = {{"result.json", json.take()}, {"result.txt", text_table(rows, 1)}, {"version", "1.0.0"}};
  return out;
}

}  // namespace kiln::frontend::dockerfile
