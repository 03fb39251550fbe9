#include "daemon/internal_step.h"

#include "base/id.h"
#include "event/error_text.h"

namespace kiln::daemon {

InternalStep::InternalStep(event::EventSink& sink, std::string name) : sink_(sink) {
  vertex_.digest = Digest::of(new_id());
  vertex_.name = std::move(name);
  vertex_.started = system_clock().now();
  sink_.on(vertex_);
}

InternalStep::~InternalStep() { done(cancelled("context canceled")); }

void InternalStep::done(const Status& status) {
  if (vertex_.completed) return;
  vertex_.completed = system_clock().now();
  vertex_.error = event::error_text(status);
  sink_.on(vertex_);
}

void InternalStep::log(event::LogStream stream, std::string_view data) {
  sink_.on(event::VertexLog{vertex_.digest, stream, system_clock().now(), std::string(data)});
}

void InternalStep::status(event::VertexStatus status) {
  status.vertex = vertex_.digest;
  sink_.on(status);
}

void InternalStep::warn(event::VertexWarning warning) {
  warning.vertex = vertex_.digest;
  sink_.on(warning);
}

}  // namespace kiln::daemon
