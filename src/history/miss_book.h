// What the keys of earlier runs were made of, so that a miss can be explained: the steps that ran
// lately, on disk, found again by their operation, their words and their place in the file.
//
//   MissBook book(root + "/history");
//   MissReport report = book.explain(miss, ran);     // beside the nearest run
//   book.remember(ref, misses);                      // once the build has ended
//
// Disk: misses.db, see docs/formats/misses.md. A fault of it makes explanations poorer and is logged;
// it never fails a build.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "event/miss.h"
#include "history/miss_reason.h"

namespace kiln::history {

inline constexpr const char* kMissesMediaType = "application/vnd.kiln.misses.v1+json";
// The annotation on a record's log descriptor that holds the digest of its misses.
inline constexpr const char* kMissesAnnotation = "dev.kiln.misses";

// Any thread; calls block on the disk. The file is opened when it is first needed.
class MissBook {
 public:
  explicit MissBook(std::string directory, Clock& clock = system_clock());
  ~MissBook();

  // `ran`: vertices that ran in the same build before.
  MissReport explain(const event::CacheMiss& miss, const std::vector<Digest>& ran);
  // Only runs that succeeded: what a failed step leaves nobody can find.
  void remember(const std::string& ref, const std::vector<event::CacheMiss>& misses);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// {"steps": [...]}, as `kiln why --format json` prints it. docs/formats/misses.md.
std::string misses_json(const std::vector<MissReport>& reports);

}  // namespace kiln::history
