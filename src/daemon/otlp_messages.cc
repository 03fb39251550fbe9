#include "daemon/otlp_messages.h"

#include <fmt/format.h>

#include <map>

#include "base/utf8_text.h"
#include "wire/otlp_trace_service.pb.h"

namespace kiln::daemon {
namespace {

namespace common = opentelemetry::proto::common::v1;
namespace trace = opentelemetry::proto::trace::v1;
using observe::Attribute;
using observe::Span;

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (unsigned char c : bytes) out += fmt::format("{:02x}", c);
  return out;
}

std::string from_hex(std::string_view text) {
  const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
  return out;
}

Time time_of(std::uint64_t nanoseconds) {
  return Time(std::chrono::duration_cast<Time::duration>(std::chrono::nanoseconds(nanoseconds)));
}

std::uint64_t nanoseconds(Time time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

observe::Value value_of(const common::AnyValue& in) {
  switch (in.value_case()) {
    case common::AnyValue::kBoolValue: return in.bool_value();
    case common::AnyValue::kIntValue: return in.int_value();
    case common::AnyValue::kDoubleValue: return in.double_value();
    case common::AnyValue::kStringValue: return in.string_value();
    default: return in.ShortDebugString();  // lists and maps, as text
  }
}

template <typename List>
std::vector<Attribute> attributes_of(const List& list) {
  std::vector<Attribute> out;
  for (const common::KeyValue& one : list) out.emplace_back(one.key(), value_of(one.value()));
  return out;
}

template <typename List>
void add_attributes(const std::vector<Attribute>& attributes, List& out) {
  for (const auto& [key, value] : attributes) {
    common::KeyValue& one = *out.Add();
    one.set_key(to_valid_utf8(key));
    if (const auto* text = std::get_if<std::string>(&value))
      one.mutable_value()->set_string_value(to_valid_utf8(*text));
    if (const auto* number = std::get_if<std::int64_t>(&value)) one.mutable_value()->set_int_value(*number);
    if (const auto* flag = std::get_if<bool>(&value)) one.mutable_value()->set_bool_value(*flag);
    if (const auto* real = std::get_if<double>(&value)) one.mutable_value()->set_double_value(*real);
  }
}

Span span_of(const trace::Span& in) {
  Span out;
  out.trace_id = to_hex(in.trace_id());
  out.span_id = to_hex(in.span_id());
  out.parent_id = to_hex(in.parent_span_id());
  out.name = in.name();
  const int kind = in.kind();
  out.kind = kind >= 1 && kind <= 5 ? static_cast<observe::SpanKind>(kind) : observe::SpanKind::kInternal;
  out.start = time_of(in.start_time_unix_nano());
  out.end = time_of(in.end_time_unix_nano());
  out.attributes = attributes_of(in.attributes());
  for (const auto& event : in.events()) {
    out.events.push_back({time_of(event.time_unix_nano()), event.name(), attributes_of(event.attributes())});
  }
  out.status = in.status().code() == trace::Status::STATUS_CODE_ERROR ? observe::SpanStatus::kError
               : in.status().code() == trace::Status::STATUS_CODE_OK  ? observe::SpanStatus::kOk
                                                                      : observe::SpanStatus::kUnset;
  out.message = in.status().message();
  return out;
}

void fill(const Span& in, trace::Span& out) {
  out.set_trace_id(from_hex(in.trace_id));
  out.set_span_id(from_hex(in.span_id));
  out.set_parent_span_id(from_hex(in.parent_id));
  out.set_name(to_valid_utf8(in.name));
  out.set_kind(static_cast<trace::Span::SpanKind>(in.kind));
  out.set_start_time_unix_nano(nanoseconds(in.start));
  out.set_end_time_unix_nano(nanoseconds(in.end));
  add_attributes(in.attributes, *out.mutable_attributes());
  for (const auto& event : in.events) {
    auto& one = *out.add_events();
    one.set_time_unix_nano(nanoseconds(event.at));
    one.set_name(to_valid_utf8(event.name));
    add_attributes(event.attributes, *one.mutable_attributes());
  }
  out.mutable_status()->set_code(static_cast<trace::Status::StatusCode>(in.status));
  out.mutable_status()->set_message(to_valid_utf8(in.message));
}

}  // namespace

std::vector<Span> from_message(const opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest& in) {
  std::vector<Span> out;
  for (const auto& resource : in.resource_spans()) {
    const std::vector<Attribute> who = attributes_of(resource.resource().attributes());
    for (const auto& scope : resource.scope_spans()) {
      for (const auto& one : scope.spans()) {
        Span span = span_of(one);
        span.resource = who;
        span.scope = scope.scope().name();
        out.push_back(std::move(span));
      }
    }
  }
  return out;
}

void to_message(const std::vector<Span>& spans, const std::vector<Attribute>& resource,
                opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest& out) {
  // Spans of one maker and scope travel together.
  std::map<std::pair<std::vector<Attribute>, std::string>, trace::ScopeSpans*> groups;
  for (const Span& span : spans) {
    const std::vector<Attribute>& who = span.resource.empty() ? resource : span.resource;
    trace::ScopeSpans*& group = groups[{who, span.scope}];
    if (group == nullptr) {
      auto& made = *out.add_resource_spans();
      add_attributes(who, *made.mutable_resource()->mutable_attributes());
      group = made.add_scope_spans();
      group->mutable_scope()->set_name(to_valid_utf8(span.scope));
    }
    fill(span, *group->add_spans());
  }
}

}  // namespace kiln::daemon
