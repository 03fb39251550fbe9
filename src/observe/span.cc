#include "observe/span.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/id.h"

namespace kiln::observe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kNoTrace = "00000000000000000000000000000000";
constexpr std::string_view kNoSpan = "0000000000000000";

bool is_hex(std::string_view text, std::size_t length) {
  return text.size() == length &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string random_hex(std::size_t bytes) { return hex_encode(random_bytes(bytes)); }

Json context_json(const std::string& trace_id, const std::string& span_id) {
  const bool none = span_id.empty();
  return {{"TraceID", none ? kNoTrace : trace_id},
          {"SpanID", none ? kNoSpan : span_id},
          {"TraceFlags", none ? "00" : "01"},
          {"TraceState", ""},
          {"Remote", false}};
}

Json value_json(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return {{"Type", "STRING"}, {"Value", *text}};
  if (const auto* number = std::get_if<std::int64_t>(&value)) return {{"Type", "INT64"}, {"Value", *number}};
  if (const auto* flag = std::get_if<bool>(&value)) return {{"Type", "BOOL"}, {"Value", *flag}};
  return {{"Type", "FLOAT64"}, {"Value", std::get<double>(value)}};
}

Json attributes_json(const std::vector<Attribute>& attributes) {
  if (attributes.empty()) return nullptr;
  Json out = Json::array();
  for (const auto& [key, value] : attributes) out.push_back({{"Key", key}, {"Value", value_json(value)}});
  return out;
}

Json events_json(const std::vector<SpanEvent>& events) {
  if (events.empty()) return nullptr;
  Json out = Json::array();
  for (const SpanEvent& event : events) {
    out.push_back({{"Name", event.name},
                   {"Attributes", attributes_json(event.attributes)},
                   {"DroppedAttributeCount", 0},
                   {"Time", format_rfc3339(event.at)}});
  }
  return out;
}

std::string_view status_name(SpanStatus status) {
  switch (status) {
    case SpanStatus::kUnset: return "Unset";
    case SpanStatus::kOk: return "Ok";
    case SpanStatus::kError: return "Error";
  }
  return "Unset";
}

Json stub_json(const Span& span) {
  static const std::vector<Attribute> kSelf = {{"service.name", std::string("buildkitd")}};
  const Json scope = {{"Name", span.scope}, {"Version", ""}, {"SchemaURL", ""}, {"Attributes", nullptr}};
  return {{"Name", span.name},
          {"SpanContext", context_json(span.trace_id, span.span_id)},
          {"Parent", context_json(span.trace_id, span.parent_id)},
          {"SpanKind", static_cast<int>(span.kind)},
          {"StartTime", format_rfc3339(span.start)},
          {"EndTime", format_rfc3339(span.end)},
          {"Attributes", attributes_json(span.attributes)},
          {"Events", events_json(span.events)},
          {"Links", nullptr},
          {"Status", {{"Code", status_name(span.status)}, {"Description", span.message}}},
          {"DroppedAttributes", 0},
          {"DroppedEvents", 0},
          {"DroppedLinks", 0},
          {"ChildSpanCount", 0},
          {"Resource", attributes_json(span.resource.empty() ? kSelf : span.resource)},
          {"InstrumentationScope", scope},
          {"InstrumentationLibrary", scope}};
}

}  // namespace

std::optional<TraceParent> parse_trace_parent(std::string_view header) {
  // version 2, trace 32, span 16, flags 2
  if (header.size() < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  const std::string_view version = header.substr(0, 2), trace = header.substr(3, 32), span = header.substr(36, 16);
  if (!is_hex(version, 2) || version == "ff" || !is_hex(trace, 32) || !is_hex(span, 16)) return std::nullopt;
  if (trace == kNoTrace || span == kNoSpan) return std::nullopt;
  return TraceParent{std::string(trace), std::string(span)};
}

std::string trace_parent_text(const TraceParent& parent) {
  return fmt::format("00-{}-{}-01", parent.trace_id, parent.span_id);
}
std::string new_trace_id() { return random_hex(16); }
std::string new_span_id() { return random_hex(8); }

std::string span_stubs_json(const std::vector<Span>& spans) {
  std::string out;
  for (const Span& span : spans) {
    out += stub_json(span).dump(2, ' ', false, Json::error_handler_t::replace);
    out += '\n';
  }
  return out;
}

}  // namespace kiln::observe
