// What is remembered of a build after it ended, and what is told of it while it runs.
//
//   history::Record record{.ref = "abc", .frontend = "dockerfile.v0", .created = now};
//
// Format: moby.buildkit.v1.BuildHistoryRecord. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"

namespace kiln::history {

inline constexpr const char* kStatusMediaType = "application/vnd.buildkit.status.v0";
inline constexpr const char* kTraceMediaType = "application/vnd.buildkit.otlp.json.v0";
// The misspelling is the name that clients look for.
inline constexpr const char* kErrorMediaType = "application/vnd.googeapis.google.rpc.status+proto";
inline constexpr const char* kPredicateTypeAnnotation = "in-toto.io/predicate-type";

struct Descriptor {
  std::string media_type;
  std::string digest;
  std::int64_t size = 0;
  std::map<std::string, std::string> annotations;
};

// What one exported result consists of. `results` is by index of exporter.
struct ResultInfo {
  std::vector<Descriptor> attestations;
  std::map<std::int64_t, Descriptor> results;
};

struct Exporter {
  std::string type;
  std::map<std::string, std::string> attrs;
};

struct Error {
  int code = 0;  // gRPC
  std::string message;
};

struct Record {
  std::string ref;
  std::string frontend;
  std::map<std::string, std::string> frontend_attrs;
  std::vector<Exporter> exporters;
  std::optional<Error> error;
  std::optional<Descriptor> external_error;  // the whole status with its details
  Time created{};
  std::optional<Time> completed;
  std::optional<Descriptor> logs;
  std::optional<Descriptor> trace;
  std::map<std::string, std::string> exporter_response;
  std::optional<ResultInfo> result;           // of a result without platforms
  std::map<std::string, ResultInfo> results;  // by platform
  std::vector<std::string> kept;              // digests of blobs that live as long as this; written, not read back
  int generation = 0;                         // grows with every change after the end
  bool pinned = false;
  int cached_steps = 0;
  int total_steps = 0;
  int completed_steps = 0;
  int warnings = 0;
};

enum class EventKind { kStarted = 0, kComplete = 1, kDeleted = 2 };

struct Event {
  EventKind kind = EventKind::kStarted;
  Record record;
};

}  // namespace kiln::history
