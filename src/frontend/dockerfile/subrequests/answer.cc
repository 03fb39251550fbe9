#include <fmt/format.h>

#include "frontend/dockerfile/subrequests/reports.h"
#include "wire/errdefs.pb.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr const char* kSubrequestDetail = "github.com/moby/buildkit/errdefs.Subrequest";

struct Field {
  std::string_view name;
  std::string_view description;
};
struct Question {
  std::string_view name;
  std::string_view description;
  std::vector<Field> opts;
  bool null_opts = false;
};

// What describe tells; lint and conversion are known to those who use them.
const std::vector<Question>& questions() {
  static const std::vector<Question> all = {
      {"frontend.outline",
       "List all parameters current build target supports",
       {{"target", "Target build stage"}},
       false},
      {"frontend.targets", "List all targets current build supports", {}, false},
      {"frontend.subrequests.describe", "List available subrequest types", {}, true},
  };
  return all;
}

void write_fields(content::JsonWriter& json, std::string_view key, const std::vector<Field>& fields) {
  json.key(key);
  json.begin_array();
  for (const auto& field : fields) {
    json.begin_object();
    json.key("name");
    json.string(field.name);
    json.key("description");
    json.string(field.description);
    json.end_object();
  }
  json.end_array();
}

void write_question(content::JsonWriter& json, const Question& question) {
  auto text = [&json](std::string_view key, std::string_view value) {
    json.key(key);
    json.string(value);
  };
  auto null = [&json](std::string_view key) {
    json.key(key);
    json.null();
  };
  json.begin_object();
  text("name", question.name);
  text("version", "1.0.0");
  text("type", "rpc");
  text("description", question.description);
  if (question.null_opts) {
    null("opts");
  } else {
    write_fields(json, "opts", question.opts);
  }
  null("inputs");
  write_fields(json, "metadata", {{"result.json", ""}, {"result.txt", ""}});
  null("refs");
  json.end_object();
}

}  // namespace

Result<SolveResult> describe_requests() {
  content::JsonWriter json(content::JsonLayout::kIndented);
  std::vector<std::vector<std::string>> rows = {{"NAME", "VERSION", "DESCRIPTION"}};
  json.begin_array();
  for (const auto& question : questions()) {
    write_question(json, question);
    rows.push_back({std::string(question.name.substr(std::string_view("frontend.").size())), "1.0.0",
                    std::string(question.description)});
  }
  json.end_array();
  SolveResult out;
  out.metadata = {{"result.json", json.take()}, {"result.txt", text_table(rows, 1)}, {"version", "1.0.0"}};
  return out;
}

Result<std::optional<SolveResult>> answer_subrequest(BuildRun& run, std::stop_token stop) {
  if (!run.request.has("requestid")) return std::optional<SolveResult>();
  const std::string& id = run.request.opt("requestid");
  auto answer = [&]() -> Result<SolveResult> {
    if (id == "frontend.subrequests.describe") return describe_requests();
    if (id == "frontend.outline") return outline_target(run, stop);
    if (id == "frontend.targets") return list_targets(run);
    if (id == "frontend.lint") return lint_file(run, stop);
    if (id == "frontend.convertllb") return convert_to_llb(run, stop);
    auto status = user_error(Code::kUnimplemented, "unsupported request " + id);
    errdefs::Subrequest detail;
    detail.set_name(id);
    set_detail(status, kSubrequestDetail, detail.SerializeAsString());
    return status;
  };
  KILN_ASSIGN_OR_RETURN(auto result, answer());
  return std::optional(std::move(result));
}

}  // namespace kiln::frontend::dockerfile
