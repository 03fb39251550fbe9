// A build as a command runs it: progress shown, files written, answers printed. Private to the
// room.
#pragma once

#include "client/build_run.h"
#include "client/internal/commands.h"

namespace kiln::client {

// Where the words of a build go besides the view.
struct BuildFiles {
  std::string progress = "auto";
  std::string trace;
  std::string metadata;
  std::string ref;
  std::string image_id;
  std::string cache_metrics;
  bool print_digest = false;
  bool fail_on_findings = false;  // a check that finds faults is an error
};

// Connects, builds, writes the files, prints a subrequest's answer.
Status build_and_report(const Invocation& call, BuildRequest request, const BuildFiles& files);

}  // namespace kiln::client
