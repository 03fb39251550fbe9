// Work of the daemon's own that clients see as a step: "exporting to image", "resolve image config
// for …", "importing cache manifest from …". A vertex with a random digest, started when made and
// completed by done() or, as failed, by the destructor.
//
//   InternalStep step(build.events(), "exporting to image");
//   Status status = exporter->run(result, {.reporter = step, …});
//   step.done(status);
#pragma once

#include <string>

#include "base/digest.h"
#include "event/event.h"

namespace kiln::daemon {

// Any thread. The sink outlives it.
class InternalStep final : public event::Reporter {
 public:
  InternalStep(event::EventSink& sink, std::string name);
  ~InternalStep() override;
  InternalStep(const InternalStep&) = delete;
  InternalStep& operator=(const InternalStep&) = delete;

  void done(const Status& status);
  void mark_cached() { vertex_.cached = true; }
  const Digest& digest() const { return vertex_.digest; }

  void log(event::LogStream stream, std::string_view data) override;
  void status(event::VertexStatus status) override;
  void warn(event::VertexWarning warning) override;

 private:
  event::EventSink& sink_;
  event::Vertex vertex_;
};

}  // namespace kiln::daemon
