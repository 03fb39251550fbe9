// A check's findings as people, programs, code scanners and GitHub's logs read them.
//
//   print(check_report(CheckFormat::kSarif, "app/Dockerfile", result));
//
// Formats: "text" as BuildKit's own report; "json" its frontend.lint answer; "sarif" SARIF 2.1.0
// (OASIS); "github" GitHub Actions workflow commands. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "frontend/dockerfile/check/findings.h"

namespace kiln::client {

enum class CheckFormat { kText, kJson, kSarif, kGithub };
// Nothing for a word that names none.
std::optional<CheckFormat> find_check_format(std::string_view word);

// `path` is the Dockerfile's as the reader knows it.
std::string check_report(CheckFormat format, const std::string& path, const frontend::dockerfile::CheckResult& result);

}  // namespace kiln::client
