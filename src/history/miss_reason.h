// Why a step was not found in the cache: what its key is made of now, beside what the nearest earlier
// run's key was made of. Pure comparison of told facts (event/miss.h).
//
//   MissReport report = compare(miss, earlier);
//   for (const MissReason& reason : report.reasons) print(reason.text);
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "event/miss.h"

namespace kiln::history {

// A run that was remembered.
struct EarlierRun {
  event::CacheMiss facts;
  std::string ref;  // of its build
  Time at{};
};

enum class MissVerdict {
  kFirst,    // nothing like it ran before
  kIgnored,  // the build asked for a new run
  kRemoved,  // it ran before just so; what it made is gone
  kChanged,  // reasons say what differs
  kFollows,  // only what it builds on differs, which ran anew itself
};

struct MissReason {
  std::string kind;  // "part", "file", "input", "source", "operation"
  std::string name;  // "env FOO", "/src/main.c", the input's name
  std::string was;   // "" = was not there
  std::string now;   // "" = is not there
  std::string text;  // one sentence
};

struct MissReport {
  Digest vertex;
  std::string name;
  MissVerdict verdict = MissVerdict::kFirst;
  std::vector<MissReason> reasons;
  std::vector<std::string> follows;  // names of inputs that ran anew
  std::string nearest_ref;           // of the earlier run's build
  std::string nearest_name;          // when it was called otherwise
  std::optional<Time> nearest_at;
};

// How alike two runs are; 0: not the same step at all. The same operation counts most, then the same
// words, then the same base, then the same place in the file.
int likeness(const event::CacheMiss& a, const event::CacheMiss& b);

// What of `now` differs from the earlier run (null: there is none). `ran` are the vertices known to
// have run in the same build.
MissReport compare(const event::CacheMiss& now, const EarlierRun* earlier, const std::vector<Digest>& ran);

// A line a reason, without an end of line: for logs and terminals.
std::vector<std::string> report_lines(const MissReport& report);
std::string_view verdict_name(MissVerdict verdict);  // "first", "ignored", …

// A step's name without its place ("[build 3/7] RUN make" → "RUN make"), and the place.
std::string words_of(const std::string& name);
std::string place_of(const std::string& name);

}  // namespace kiln::history
