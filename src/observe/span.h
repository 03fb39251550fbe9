// A span: something that took time, in a tree of such things across programs. Plain data, made by
// build_trace.h and by clients; kept in a build's record and sent to a collector (daemon/).
//
//   TraceParent parent = parse_trace_parent(header).value_or(new_trace());
//   std::string json = span_stubs_json(spans);
//
// Ids are W3C trace context's (lower-case hex).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace kiln::observe {

using Value = std::variant<std::string, std::int64_t, bool, double>;
using Attribute = std::pair<std::string, Value>;

// As OTLP counts them.
enum class SpanKind { kInternal = 1, kServer = 2, kClient = 3, kProducer = 4, kConsumer = 5 };
enum class SpanStatus { kUnset = 0, kOk = 1, kError = 2 };

struct SpanEvent {
  Time at{};
  std::string name;
  std::vector<Attribute> attributes;
};

struct Span {
  std::string trace_id;   // 32 digits
  std::string span_id;    // 16 digits
  std::string parent_id;  // 16 digits, "" = a root
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  Time start{};
  Time end{};
  std::vector<Attribute> attributes;
  std::vector<SpanEvent> events;
  SpanStatus status = SpanStatus::kUnset;
  std::string message;              // of an error
  std::vector<Attribute> resource;  // who made it; empty: this daemon
  std::string scope;
};

struct TraceParent {
  std::string trace_id;
  std::string span_id;
};

// "00-<32 hex>-<16 hex>-<2 hex>"; nothing when it is not that, or all zero.
std::optional<TraceParent> parse_trace_parent(std::string_view header);
std::string trace_parent_text(const TraceParent& parent);
std::string new_trace_id();
std::string new_span_id();

// One JSON object a span, as Go's tracetest.SpanStub is printed: the form in which BuildKit keeps
// traces in a build's record, and which its clients read.
std::string span_stubs_json(const std::vector<Span>& spans);

}  // namespace kiln::observe
