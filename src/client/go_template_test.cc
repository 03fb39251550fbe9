// Proves the subset of Go's templates, and that columns align as tabwriter's do.
#include "client/go_template.h"

#include <gtest/gtest.h>

#include "client/table_text.h"

namespace kiln::client {
namespace {

std::string rendered(std::string_view text, std::string_view json) {
  Result<GoTemplate> parsed = GoTemplate::parse(text);
  if (!parsed.ok()) return "error: " + std::string(message_of(parsed.status()));
  Result<std::string> out = parsed->render(json);
  return out.ok() ? *out : "error: " + std::string(message_of(out.status()));
}

constexpr std::string_view kData =
    R"([{"id":"a","size":1,"tags":["x","y"],"labels":{"k":"v"},"gone":null},{"id":"b","size":0,"tags":[]}])";

TEST(GoTemplate, prints_json_and_fields) {
  EXPECT_EQ(rendered("json", R"({"b":1,"a":"<&>"})"), R"({"b":1,"a":"<&>"})");
  EXPECT_EQ(rendered("{{json .}}!", "[1, 2]"), "[1,2]!");
  EXPECT_EQ(rendered("{{.A.B}}", R"({"a":{"B":true}})"), "true");
  EXPECT_EQ(rendered("{{ . }}", R"({"k":["x",1]})"), "map[k:[x 1]]");
}

TEST(GoTemplate, walks_lists_and_chooses) {
  EXPECT_EQ(
      rendered("{{range .}}{{.ID}}:{{len .Tags}}{{if .Size}}+{{else}}-{{end}} {{end}}", kData),
      "a:2+ b:0- ");
  EXPECT_EQ(rendered("{{range .}}x{{else}}none{{end}}", "[]"), "none");
  EXPECT_EQ(rendered("{{range .}}{{with .labels}}{{index . \"k\"}}{{end}}{{end}}",
                     R"([{"labels":{"k":"v"}}])"),
            "v");
  EXPECT_EQ(rendered("{{range . -}}\n  {{.id | printf \"%s;\"}}\n{{- end}}", kData), "a;b;");
}

TEST(GoTemplate, says_what_is_wrong) {
  EXPECT_EQ(rendered("{{range .}}", "[]"), "error: template: range has no end");
  EXPECT_EQ(rendered("{{.x", "{}"), "error: template: unclosed action");
  EXPECT_EQ(rendered("{{foo .}}", "{}"),
            "error: template: can't give argument to non-function foo");
  EXPECT_EQ(rendered("{{.nope}}", "{}"), "error: template: can't evaluate field nope");
  EXPECT_EQ(rendered("{{end}}", "{}"), "error: template: unexpected {{end}}");
}

TEST(Columns, are_as_wide_as_their_widest_cell) {
  EXPECT_EQ(align_columns("a\tb\nlonger cell\tc\n", Fill::kTabs), "a\t\tb\nlonger cell\tc\n");
  EXPECT_EQ(align_columns("a:\tb\nlonger:\tc\n", Fill::kBlanks), "a:      b\nlonger: c\n");
}

}  // namespace
}  // namespace kiln::client
