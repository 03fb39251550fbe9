// A plan of a build with the questions that were asked about it, and its four forms.
//
//   print(explain_text(explanation));
//
// Pure functions over plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "frontend/dockerfile/plan/plan.h"

namespace kiln::client {

// What the upload of the context would hold.
struct ContextContents {
  std::size_t files = 0;  // wanted, of every kind but directories
  std::int64_t bytes = 0;
  std::size_t files_there = 0;  // in the directory altogether
  std::int64_t bytes_there = 0;
  std::vector<std::pair<std::string, std::int64_t>> largest;  // of the wanted, largest first
};

struct Question {
  std::string text;  // "go.mod changes", "VERSION changes (1.0 → 1.0x)"
  std::string note;  // why nothing is affected, if that needs a word
  frontend::dockerfile::Affected affected;
};

struct Explanation {
  frontend::dockerfile::BuildPlan plan;
  ContextContents context;
  std::vector<std::string> images_not_looked_up;
  std::vector<Question> questions;
};

std::string explain_text(const Explanation& explanation);
std::string explain_json(const Explanation& explanation);
std::string explain_dot(const Explanation& explanation);
std::string explain_svg(const Explanation& explanation);

// Whether a question concerns a step, and how; for pictures.
enum class Concern { kNone, kDirect, kBehind, kUnlessSame };
Concern concern_of(const Explanation& explanation, std::size_t step);
// A step's name without its "[stage n/m]".
std::string step_title(const frontend::dockerfile::PlanStep& step);
std::string size_text(std::int64_t bytes);  // "3.2 MB"

}  // namespace kiln::client
