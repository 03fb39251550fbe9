// A build's time line as a trace: one span for the build, one for each step, made from what the
// build told while it ran.
//
//   std::string spans = build_trace(record, trace_parent, *log);
//
// Format: one JSON object a line, each a span as OpenTelemetry's Go SDK prints its span stubs, which
// is what BuildKit's clients read from a record (application/vnd.buildkit.otlp.json.v0).
#pragma once

#include <string>
#include <string_view>

#include "daemon/status_log.h"
#include "history/record.h"

namespace kiln::daemon {

// `log` must be closed. `trace_parent` (W3C, may be empty) gives trace and parent; without it the
// trace is named after the build's ref. Reads the log from its disk.
std::string build_trace(const history::Record& record, std::string_view trace_parent, StatusLog& log);

}  // namespace kiln::daemon
