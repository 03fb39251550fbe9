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
  EXPECT_EQ(rendered("{{range .}}{{.ID}}:{{len .Tags}}{{if .Size}}+{{else}}-{{end}} {{end}}", kData), "a:2+ b:0- ");
  EXPECT_EQ(rendered("{{range .}}x{{else}}none{{end}}", "[]"), "none");
  EXPECT_EQ(rendered("{{range .}}{{with .labels}}{{index . \"k\"}}{{end}}{{end}}", R"([{"labels":{"k":"v"}}])"), "v");
  EXPECT_EQ(rendered("{{range . -}}\n  {{.id | printf \"%s;\"}}\n{{- end}}", kData), "a;b;");
}

TEST(GoTemplate, knows_variables_comparisons_and_parentheses) {
  EXPECT_EQ(rendered("{{range $i, $e := .}}{{$i}}={{$e.ID}};{{end}}", kData), "0=a;1=b;");
  EXPECT_EQ(
      rendered("{{range $e := .}}{{if eq $e.size 1}}one{{else if not $e.tags}}bare{{else}}?{{end}} {{end}}", kData),
      "one bare ");
  EXPECT_EQ(rendered("{{range .}}{{if and (gt (len .tags) 1) (eq .id \"x\" \"a\")}}{{.id}}{{end}}{{end}}", kData), "a");
  EXPECT_EQ(rendered("{{$x := .a}}{{with .b}}{{$x}}{{.}}{{$.a}}{{end}}", R"({"a":1,"b":2})"), "121");
  EXPECT_EQ(rendered("{{range $k, $v := .}}{{$k}}:{{$v}} {{end}}", R"({"p":1,"q":2})"), "p:1 q:2 ");
  EXPECT_EQ(rendered("{{(index . 0).id}}", kData), "a");
}

TEST(GoTemplate, finds_fields_that_are_not_printed) {
  constexpr std::string_view data =
      R"({"type":1,"record":{"ref":"r","\u0001":{"attrs":{}}},"\u0001":{"type":"COMPLETE"}})";
  EXPECT_EQ(rendered("{{.Type}} {{.Record.Attrs}} {{json .}}", data),
            R"(COMPLETE map[] {"type":1,"record":{"ref":"r"}})");
  EXPECT_EQ(rendered("{{.Record.Nope}}", data), "error: template: can't evaluate field Nope");
}

TEST(GoTemplate, says_what_is_wrong) {
  EXPECT_EQ(rendered("{{$y}}", "{}"), "error: template: undefined variable \"$y\"");
  EXPECT_EQ(rendered("{{(len .}}", "{}"), "error: template: unclosed left paren");

  EXPECT_EQ(rendered("{{range .}}", "[]"), "error: template: range has no end");
  EXPECT_EQ(rendered("{{.x", "{}"), "error: template: unclosed action");
  EXPECT_EQ(rendered("{{foo .}}", "{}"), "error: template: function \"foo\" not defined");
  EXPECT_EQ(rendered("{{.nope}}", "{}"), "error: template: can't evaluate field nope");
  EXPECT_EQ(rendered("{{end}}", "{}"), "error: template: unexpected {{end}}");
}

TEST(Columns, are_as_wide_as_their_widest_cell) {
  EXPECT_EQ(align_columns("a\tb\nlonger cell\tc\n", Fill::kTabs), "a\t\tb\nlonger cell\tc\n");
  EXPECT_EQ(align_columns("a:\tb\nlonger:\tc\n", Fill::kBlanks), "a:      b\nlonger: c\n");
}

}  // namespace
}  // namespace kiln::client
