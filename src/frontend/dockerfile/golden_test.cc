// Proves that whole files give the instructions and findings that stand beside them in
// tests/golden/dockerfile/parse. KILN_ACCEPT=1 rewrites the expectations and reports a skip.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/instructions.h"

namespace kiln::frontend::dockerfile {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

// Instructions as text: one line each, then one indented line a field that is set.
class Printer {
 public:
  std::string text;

  void print(const Dockerfile& file) {
    text += fmt::format("escape {}\n", file.escape);
    for (const Instruction& arg : file.meta_args) print(arg, "");
    for (const Stage& stage : file.stages) {
      text += fmt::format("stage {} from {}{}\n", place(stage.ranges), quote(stage.base),
                          stage.name.empty() ? "" : " as " + stage.name);
      field("platform", stage.platform);
      field("doc", stage.doc);
      for (const Instruction& step : stage.steps) print(step, "  ");
    }
  }

  void operator()(const Add& v) {
    paths(v.paths), field("chown", v.chown), field("chmod", v.chmod), field("checksum", v.checksum),
        flag("link", v.link), maybe("keep-git-dir", v.keep_git_dir), maybe("unpack", v.unpack),
        list("exclude", v.excludes);
  }
  void operator()(const Copy& v) {
    paths(v.paths), field("from", v.from), field("chown", v.chown), field("chmod", v.chmod), flag("link", v.link),
        flag("parents", v.parents), list("exclude", v.excludes);
  }
  void operator()(const Arg& v) {
    for (const ArgEntry& e : v.entries)
      text += fmt::format("{}  {}{}{}\n", indent_, e.key, e.value ? "=" + quote(*e.value) : "",
                          e.doc.empty() ? "" : " # " + e.doc);
  }
  void operator()(const Env& v) { pairs(v.entries); }
  void operator()(const Label& v) { pairs(v.entries); }
  void operator()(const Cmd& v) { command(v.command); }
  void operator()(const Entrypoint& v) { command(v.command); }
  void operator()(const Run& v) {
    list("mount", v.mount_texts);
    if (v.network != Network::kDefault) field("network", v.network == Network::kHost ? "host" : "none");
    if (v.security != Security::kSandbox) field("security", "insecure");
    for (const Device& d : v.devices) field("device", d.name + (d.required ? ",required" : ""));
    command(v.command);
  }
  void operator()(const Expose& v) { list("port", v.ports); }
  void operator()(const Healthcheck& v) {
    list("test", v.test);
    for (auto [name, d] : {std::pair{"interval", v.interval},
                           {"timeout", v.timeout},
                           {"start-period", v.start_period},
                           {"start-interval", v.start_interval}}) {
      if (d.count() != 0) text += fmt::format("{}  {} {}ns\n", indent_, name, d.count());
    }
    if (v.retries != 0) text += fmt::format("{}  retries {}\n", indent_, v.retries);
  }
  void operator()(const Maintainer& v) { field("name", v.name); }
  void operator()(const Onbuild& v) { field("payload", v.payload); }
  void operator()(const Shell& v) { list("argv", v.argv); }
  void operator()(const StopSignal& v) { field("signal", v.signal); }
  void operator()(const User& v) { field("user", v.user); }
  void operator()(const Volume& v) { list("path", v.paths); }
  void operator()(const Workdir& v) { field("path", v.path); }

 private:
  static std::string place(const Ranges& ranges) {
    int first = ranges.front().start.line, last = ranges.back().end.line;
    return first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
  }
  void print(const Instruction& step, std::string indent) {
    indent_ = std::move(indent);
    text += fmt::format("{}{} {} {}\n", indent_, keyword_name(step.keyword()), place(step.ranges), quote(step.code));
    std::visit(*this, step.body);
  }
  void field(std::string_view name, std::string_view value) {
    if (!value.empty()) text += fmt::format("{}  {} {}\n", indent_, name, quote(value));
  }
  void flag(std::string_view name, bool on) {
    if (on) text += fmt::format("{}  {}\n", indent_, name);
  }
  void maybe(std::string_view name, std::optional<bool> on) {
    if (on) text += fmt::format("{}  {} {}\n", indent_, name, *on);
  }
  void list(std::string_view name, const std::vector<std::string>& values) {
    for (const std::string& value : values) text += fmt::format("{}  {} {}\n", indent_, name, quote(value));
  }
  void pairs(const std::vector<KeyValue>& entries) {
    for (const KeyValue& e : entries)
      text += fmt::format("{}  {}={}{}\n", indent_, e.key, quote(e.value), e.legacy ? " (legacy)" : "");
  }
  void paths(const SourcesAndDest& paths) {
    list("source", paths.sources);
    for (const InlineFile& f : paths.inline_files)
      text += fmt::format("{}  inline {} {}{}\n", indent_, quote(f.path), quote(f.data), f.expand ? "" : " (verbatim)");
    field("dest", paths.dest);
  }
  void command(const CommandLine& command) {
    list(command.shell_form ? "shell" : "exec", command.argv);
    for (const Heredoc& h : command.heredocs) {
      text += fmt::format("{}  heredoc {} fd {}{}{} {}\n", indent_, quote(h.name), h.descriptor,
                          h.strip_tabs ? " (strip)" : "", h.expand ? "" : " (verbatim)", quote(h.data));
    }
  }
  std::string indent_;
};

void compare(const fs::path& path, const std::string& actual) {
  if (std::getenv("KILN_ACCEPT")) {
    if (actual.empty()) {
      fs::remove(path);
    } else {
      std::ofstream(path) << actual;
    }
    return;
  }
  EXPECT_EQ(read(path), actual) << path;
}

TEST(GoldenDockerfiles, give_the_instructions_and_findings_beside_them) {
  fs::path root = fs::path(KILN_GOLDEN_DIR) / "dockerfile/parse";
  int cases = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    std::string source = read(entry.path() / "Dockerfile");
    std::string findings;
    Result<LintOptions> options = lint_options_for(source, std::nullopt);
    ASSERT_TRUE(options.ok()) << entry.path();
    Linter linter(*options, [&](const LintRule& rule, const std::string& message, const Ranges& ranges) {
      findings += lint_line(rule.name, message, ranges.front().start.line) + "\n";
    });
    Result<Dockerfile> file = parse_dockerfile(source, linter);
    if (!file.ok()) {
      findings += "error: " + std::string(message_of(file.status()));
      for (const Ranges& place : ranges_of(file.status()))
        findings += fmt::format(" @{}-{}", place.front().start.line, place.back().end.line);
      findings += "\n";
    }
    Printer printer;
    if (file.ok()) printer.print(*file);
    compare(entry.path() / "instructions.txt", printer.text);
    compare(entry.path() / "diagnostics.txt", findings);
    ++cases;
  }
  EXPECT_GT(cases, 0);
  if (std::getenv("KILN_ACCEPT")) GTEST_SKIP() << "rewrote " << cases << " cases";
}

}  // namespace
}  // namespace kiln::frontend::dockerfile
