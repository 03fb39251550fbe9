// Proves that checks, fixes and plans of whole Dockerfiles come out as written beside them. A case is
// a folder in tests/golden/dockerfile/check with a Dockerfile and what else its context holds; the
// expectations are report.txt (what the check says), fixed (the file after --fix, absent when it is
// left alone), plan.txt (what explain says; only in folders that have one). case.json may hold
// {"opts": {…}, "if-changed": ["path"]}. KILN_ACCEPT=1 rewrites them and reports a skip; a new case
// that wants a plan begins with an empty plan.txt.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "client/dockerfile/check_report.h"
#include "client/dockerfile/explain.h"
#include "client/dockerfile/local_bridge.h"
#include "frontend/dockerfile/check/fix.h"
#include "frontend/dockerfile/frontend.h"

namespace kiln::client {
namespace {

namespace fs = std::filesystem;
namespace df = frontend::dockerfile;

std::string read(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

void compare(const fs::path& path, const std::string& actual) {
  if (!std::getenv("KILN_ACCEPT")) {
    EXPECT_EQ(read(path), actual) << path;
  } else if (!actual.empty()) {
    std::ofstream(path) << actual;
  } else {
    fs::remove(path);
  }
}

nlohmann::json settings_of(const fs::path& folder) {
  const fs::path path = folder / "case.json";
  return fs::exists(path) ? nlohmann::json::parse(read(path)) : nlohmann::json::object();
}

LocalBridgeOptions options_of(const fs::path& folder, const nlohmann::json& settings) {
  LocalBridgeOptions out;
  for (const auto& [key, value] : settings.value("opts", nlohmann::json::object()).items()) out.opts[key] = value;
  out.dirs = {{"context", folder.string()}, {"dockerfile", folder.string()}};
  return out;
}

df::CheckResult check(LocalBridgeOptions options) {
  options.opts["requestid"] = "frontend.lint";
  LocalBridge bridge(options);
  auto answer = df::make_frontend()->build(bridge, {});
  EXPECT_TRUE(answer.ok()) << answer.status();
  if (!answer.ok()) return {};
  auto result = df::read_check(answer->metadata.at("result.json"));
  EXPECT_TRUE(result.ok()) << result.status();
  result->findings = df::without_guesses(result->text, result->findings);
  return *std::move(result);
}

std::string plan(const LocalBridgeOptions& options, const nlohmann::json& settings) {
  LocalBridge bridge(options);
  auto plan = df::plan_build(bridge, {});
  if (!plan.ok()) return std::string(message_of(plan.status())) + "\n";
  Explanation explanation{.plan = *std::move(plan)};
  for (const auto& path : settings.value("if-changed", nlohmann::json::array())) {
    const std::string file = path.get<std::string>();
    explanation.questions.push_back({file + " changes", "", explanation.plan.changed_by_file(file)});
  }
  return explain_text(explanation);
}

TEST(GoldenChecks, SayAndFixAndPlanWhatStandsBesideThem) {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(KILN_GOLDEN_DIR) / "dockerfile/check")) {
    SCOPED_TRACE(entry.path().filename().string());
    const auto settings = settings_of(entry.path());
    const LocalBridgeOptions options = options_of(entry.path(), settings);
    const df::CheckResult result = check(options);
    compare(entry.path() / "report.txt", check_report(CheckFormat::kText, "Dockerfile", result));
    df::FixResult fix = df::fix_findings(result.text, result.findings);
    compare(entry.path() / "fixed", fix.text == result.text ? "" : fix.text);
    if (fs::exists(entry.path() / "plan.txt")) compare(entry.path() / "plan.txt", plan(options, settings));
    ++cases;
  }
  EXPECT_GT(cases, 0);
  if (std::getenv("KILN_ACCEPT")) GTEST_SKIP() << "rewrote " << cases << " cases";
}

df::CheckResult one_finding() {
  df::CheckResult result{"Dockerfile", "FROM a as b\n", {}, std::nullopt};
  result.findings.push_back({"FromAsCasing", "what", "https://x", "100% wrong,\nreally", {{{1, 0}, {1, 0}}}});
  result.fault = df::CheckFault{"unknown instruction", {{{1, 2}, {1, 6}}}};
  return result;
}

TEST(CheckReport, EscapesWhatGithubReadsAsItsOwn) {
  EXPECT_EQ(check_report(CheckFormat::kGithub, "a,b/Dockerfile", one_finding()),
            "::warning file=a%2Cb/Dockerfile,line=1,endLine=1,title=FromAsCasing::100%25 wrong,%0Areally%0Ahttps://x\n"
            "::error file=a%2Cb/Dockerfile,line=1,endLine=1,col=3,endColumn=6,title=Dockerfile::unknown instruction\n");
}

TEST(CheckReport, PointsScannersAtTheExactWords) {
  auto sarif = nlohmann::json::parse(check_report(CheckFormat::kSarif, "Dockerfile", one_finding()));
  const auto& run = sarif["runs"][0];
  ASSERT_EQ(run["results"].size(), 2u);
  const auto& fault = run["results"][1];
  EXPECT_EQ(fault["level"], "error");
  EXPECT_EQ(fault["locations"][0]["physicalLocation"]["region"],
            nlohmann::json({{"startLine", 1}, {"startColumn", 3}, {"endLine", 1}, {"endColumn", 7}}));
  for (const auto& result : run["results"]) {
    EXPECT_EQ(run["tool"]["driver"]["rules"][result["ruleIndex"].get<int>()]["id"], result["ruleId"]);
  }
}

TEST(CheckReport, GivesBackAsJsonWhatItWasMadeOf) {
  auto again = df::read_check(check_report(CheckFormat::kJson, "Dockerfile", one_finding()));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->text, "FROM a as b\n");
  ASSERT_EQ(again->findings.size(), 1u);
  EXPECT_EQ(again->findings[0].message, "100% wrong,\nreally");
  ASSERT_TRUE(again->fault);
  EXPECT_EQ(again->fault->ranges[0].end.character, 6);
}

}  // namespace
}  // namespace kiln::client
