#include "observe/build_trace.h"

#include <fmt/format.h>

namespace kiln::observe {
namespace {

constexpr std::size_t kSpansMax = 2'000;
// A step that begins within this time of its last input did not wait for anything.
constexpr auto kWaitShown = std::chrono::milliseconds(1);
constexpr const char* kScope = "kiln";

}  // namespace

BuildTrace::BuildTrace(const std::string& ref, const std::string& trace_parent, Clock& clock) : clock_(clock) {
  auto parent = parse_trace_parent(trace_parent);
  root_.trace_id = parent ? parent->trace_id : new_trace_id();
  root_.parent_id = parent ? parent->span_id : "";
  root_.span_id = new_span_id();
  root_.name = "moby.buildkit.v1.Control/Solve";
  root_.kind = SpanKind::kServer;
  root_.scope = kScope;
  root_.start = clock_.now();
  root_.attributes = {{"rpc.system", std::string("grpc")}, {"build.ref", ref}};
}

Span BuildTrace::child(const std::string& parent_id, std::string name, Time start, Time end) const {
  Span span;
  span.trace_id = root_.trace_id;
  span.span_id = new_span_id();
  span.parent_id = parent_id;
  span.name = std::move(name);
  span.scope = kScope;
  span.start = start;
  span.end = end;
  return span;
}

void BuildTrace::add_locked(Span span) {
  if (spans_.size() < kSpansMax) {
    spans_.push_back(std::move(span));
  } else {
    ++dropped_;
  }
}

BuildTrace::Step& BuildTrace::step_locked(const Digest& digest) {
  Step& step = steps_[digest];
  if (step.span_id.empty()) step.span_id = new_span_id();
  return step;
}

void BuildTrace::on(const event::Vertex& vertex) {
  std::lock_guard lock(mutex_);
  Step& step = step_locked(vertex.digest);
  if (!vertex.completed || !vertex.started) {
    step.told = false;
    return;
  }
  if (std::exchange(step.told, true) && step.completed == vertex.completed) return;
  step.completed = vertex.completed;
  if (spans_.size() >= kSpansMax) {
    ++dropped_;
    return;
  }
  Span span = child(root_.span_id, vertex.name, *vertex.started, *vertex.completed);
  span.span_id = step.span_id;
  span.attributes = {{"vertex", vertex.digest.str()}, {"cached", vertex.cached}};
  if (!vertex.error.empty()) {
    span.status = SpanStatus::kError;
    span.message = vertex.error;
  }
  std::optional<Time> ready;
  for (const Digest& input : vertex.inputs) {
    auto it = steps_.find(input);
    if (it == steps_.end() || !it->second.completed) continue;
    if (!ready || *ready < *it->second.completed) ready = it->second.completed;
  }
  if (ready && !vertex.cached && *vertex.started - *ready > kWaitShown) {
    Span wait = child(root_.span_id, fmt::format("wait: {}", vertex.name), *ready, *vertex.started);
    wait.attributes = {{"vertex", vertex.digest.str()}};
    add_locked(std::move(wait));
  }
  add_locked(std::move(span));
}

void BuildTrace::on(const event::VertexStatus& status) {
  if (!status.completed || !status.started) return;
  std::lock_guard lock(mutex_);
  Span span = child(step_locked(status.vertex).span_id, status.name.empty() ? status.id : status.name, *status.started,
                    *status.completed);
  if (status.total > 0) span.attributes = {{"bytes", status.total}};
  add_locked(std::move(span));
}

void BuildTrace::on(const event::VertexLog&) {}
void BuildTrace::on(const event::VertexWarning&) {}

BuildTrace::Scope::Scope(BuildTrace& trace, std::string name)
    : trace_(trace), span_(trace.child(trace.root_.span_id, std::move(name), trace.clock_.now(), {})) {}

BuildTrace::Scope::~Scope() {
  span_.end = trace_.clock_.now();
  trace_.add(std::move(span_));
}

void BuildTrace::add(Span span) {
  std::lock_guard lock(mutex_);
  add_locked(std::move(span));
}

std::vector<Span> BuildTrace::finish(const Status& status) {
  std::lock_guard lock(mutex_);
  if (root_.end == Time{}) root_.end = clock_.now();
  Span root = root_;
  if (!status.ok()) {
    root.status = SpanStatus::kError;
    root.message = std::string(message_of(status));
  }
  if (dropped_ > 0) root.attributes.emplace_back("spans.dropped", dropped_);
  std::vector<Span> out{std::move(root)};
  out.insert(out.end(), spans_.begin(), spans_.end());
  return out;
}

}  // namespace kiln::observe
