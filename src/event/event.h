// What happened in a build, as plain data, and the sink it is told to. Progress, history, metrics
// and traces are views of these events; none of them lives here.
//
// Shapes follow BuildKit's Control.Status messages (api/services/control/control.proto: Vertex,
// VertexStatus, VertexLog, VertexWarning), so that the status stream is a plain translation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"

namespace kiln::event {

// Vertices of one group are shown as one line by clients.
struct ProgressGroup {
  std::string id;
  std::string name;
  bool weak = false;
};

// A step, told again whenever something about it changes; the later telling wins.
struct Vertex {
  Digest digest;
  std::vector<Digest> inputs;
  std::string name;
  std::optional<Time> started;
  std::optional<Time> completed;
  bool cached = false;
  std::string error;
  std::optional<ProgressGroup> group;
};

// A countable part of a step: a layer's download, an export's phase. `id` is unique in its vertex.
struct VertexStatus {
  std::string id;
  Digest vertex;
  std::string name;
  std::int64_t current = 0;  // bytes, or 0 when there is nothing to count
  std::int64_t total = 0;
  Time timestamp{};
  std::optional<Time> started;
  std::optional<Time> completed;
};

enum class LogStream { kStdout = 1, kStderr = 2 };

struct VertexLog {
  Digest vertex;
  LogStream stream = LogStream::kStdout;
  Time timestamp{};
  std::string data;  // raw bytes of the step
};

struct Position {
  int line = 0;       // 1-based
  int character = 0;  // 0-based
};
struct Range {
  Position start;
  Position end;
};
// The text a step came from: file name, whole content, language ("Dockerfile").
struct SourceInfo {
  std::string filename;
  std::string data;
  std::string language;
  std::string definition;  // serialised LLB definition that holds the file; may be empty
};

struct VertexWarning {
  Digest vertex;
  int level = 1;
  std::string short_text;
  std::vector<std::string> detail;
  std::string url;
  std::shared_ptr<const SourceInfo> source;
  std::vector<Range> ranges;
};

// Receives the events of one build. Implementers: called from any thread, must not block for long
// and must not call back into the teller.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on(const Vertex& vertex) = 0;
  virtual void on(const VertexStatus& status) = 0;
  virtual void on(const VertexLog& log) = 0;
  virtual void on(const VertexWarning& warning) = 0;
};

// The events of one step, for the code that runs it: it need not know who watches, nor its own
// digest. Any thread. The shorthand functions below make the timestamps.
class Reporter {
 public:
  virtual ~Reporter() = default;
  virtual void log(LogStream stream, std::string_view data) = 0;
  virtual void status(VertexStatus status) = 0;  // `vertex` is filled in
  virtual void warn(VertexWarning warning) = 0;  // `vertex` is filled in
};

// A Reporter that forgets; for tests and for work nobody watches.
Reporter& null_reporter();

// One counted phase: told as started when made, as completed when destroyed or done.
//   Phase phase(reporter, "extracting sha256:…", total_bytes);
//   phase.advance_to(bytes);
// One thread at a time.
class Phase {
 public:
  Phase(Reporter& reporter, std::string id, std::int64_t total = 0);
  ~Phase();
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;
  void set_total(std::int64_t total) { status_.total = total; }
  // Throttled to about ten tellings a second.
  void advance_to(std::int64_t current);
  void done();

 private:
  Reporter& reporter_;
  VertexStatus status_;
  Time told_{};
  bool done_ = false;
};

}  // namespace kiln::event
