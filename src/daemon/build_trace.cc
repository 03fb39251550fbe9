#include "daemon/build_trace.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/digest.h"
#include "base/text.h"
#include "content/json_text.h"
#include "wire/control.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1;
using content::JsonWriter;

constexpr std::size_t kTraceIdSize = 32, kSpanIdSize = 16;
constexpr std::string_view kNoId = "0000000000000000000000000000000000000000000000000000000000000000";

struct Span {
  std::string name;
  std::string digest;  // of the step; empty for the build itself
  Time start{};
  Time end{};
  std::string error;
  bool cached = false;
};

struct Parent {
  std::string trace;
  std::string span;
};

std::string id_of(std::string_view text, std::size_t size) {
  const std::string digest = Digest::of(text).str();
  return digest.substr(digest.find(':') + 1, size);
}

// "00-<trace>-<span>-01"
std::optional<Parent> parse_parent(std::string_view text) {
  const auto parts = split(text, '-');
  if (parts.size() != 4 || parts[1].size() != kTraceIdSize || parts[2].size() != kSpanIdSize) return std::nullopt;
  return Parent{std::string(parts[1]), std::string(parts[2])};
}

Time time_of(const google::protobuf::Timestamp& stamp) {
  return Time(std::chrono::duration_cast<Time::duration>(std::chrono::seconds(stamp.seconds()) +
                                                         std::chrono::nanoseconds(stamp.nanos())));
}

// The steps in order of their first start; a step that ran several times spans all of it.
std::vector<Span> steps_of(StatusLog& log) {
  std::map<std::string, Span> steps;
  for (std::uint64_t cursor = 0;;) {
    StatusLog::Chunk chunk = log.read(cursor);
    cursor = chunk.next;
    api::StatusResponse told;
    if (!chunk.frame.empty() && told.ParseFromString(chunk.frame)) {
      for (const auto& vertex : told.vertexes()) {
        Span& span = steps[vertex.digest()];
        span.digest = vertex.digest();
        span.name = vertex.name();
        span.error = vertex.error();
        span.cached |= vertex.cached();
        if (vertex.has_started() && (span.start == Time{} || time_of(vertex.started()) < span.start)) span.start = time_of(vertex.started());
        if (vertex.has_completed()) span.end = std::max(span.end, time_of(vertex.completed()));
      }
    }
    if (chunk.end || chunk.frame.empty()) break;
  }
  std::vector<Span> out;
  for (auto& [digest, span] : steps) {
    if (span.start == Time{}) continue;
    span.end = std::max(span.end, span.start);
    out.push_back(std::move(span));
  }
  std::sort(out.begin(), out.end(), [](const Span& a, const Span& b) { return std::tie(a.start, a.digest) < std::tie(b.start, b.digest); });
  return out;
}

void text(JsonWriter& json, std::string_view key, std::string_view value) {
  json.key(key);
  json.string(value);
}

void number(JsonWriter& json, std::string_view key, std::int64_t value) {
  json.key(key);
  json.integer(value);
}

void context(JsonWriter& json, std::string_view key, std::string_view trace, std::string_view span) {
  json.key(key);
  json.begin_object();
  text(json, "TraceID", trace);
  text(json, "SpanID", span);
  text(json, "TraceFlags", "01");
  text(json, "TraceState", "");
  json.key("Remote");
  json.boolean(false);
  json.end_object();
}

void attribute(JsonWriter& json, std::string_view key, std::string_view value) {
  json.begin_object();
  text(json, "Key", key);
  json.key("Value");
  json.begin_object();
  text(json, "Type", "STRING");
  text(json, "Value", value);
  json.end_object();
  json.end_object();
}

void attributes(JsonWriter& json, const Span& span, const history::Record& record) {
  json.key("Attributes");
  json.begin_array();
  if (span.digest.empty()) {
    attribute(json, "ref", record.ref);
    if (!record.frontend.empty()) attribute(json, "frontend", record.frontend);
  } else {
    attribute(json, "vertex", span.digest);
    if (span.cached) attribute(json, "cached", "true");
  }
  json.end_array();
}

std::string span_line(const Span& span, const Parent& parent, const std::string& id, const history::Record& record, std::size_t children) {
  JsonWriter json;
  json.begin_object();
  text(json, "Name", span.name);
  context(json, "SpanContext", parent.trace, id);
  const bool root = parent.span.empty();
  context(json, "Parent", root ? kNoId.substr(0, kTraceIdSize) : std::string_view(parent.trace),
          root ? kNoId.substr(0, kSpanIdSize) : std::string_view(parent.span));
  number(json, "SpanKind", 1);
  text(json, "StartTime", format_rfc3339(span.start));
  text(json, "EndTime", format_rfc3339(span.end));
  attributes(json, span, record);
  for (const char* key : {"Events", "Links"}) {
    json.key(key);
    json.null();
  }
  json.key("Status");
  json.begin_object();
  text(json, "Code", span.error.empty() ? "Unset" : "Error");
  text(json, "Description", span.error);
  json.end_object();
  for (const char* key : {"DroppedAttributes", "DroppedEvents", "DroppedLinks"}) number(json, key, 0);
  number(json, "ChildSpanCount", static_cast<std::int64_t>(children));
  json.key("Resource");
  json.begin_array();
  attribute(json, "service.name", "kilnd");
  json.end_array();
  json.key("InstrumentationLibrary");
  json.begin_object();
  text(json, "Name", "kiln");
  text(json, "Version", "");
  text(json, "SchemaURL", "");
  json.end_object();
  json.end_object();
  return json.take() + "\n";
}

}  // namespace

std::string build_trace(const history::Record& record, std::string_view trace_parent, StatusLog& log) {
  const Parent caller = parse_parent(trace_parent).value_or(Parent{id_of(record.ref, kTraceIdSize), ""});
  const std::vector<Span> steps = steps_of(log);
  Span build{"build " + record.ref, "", record.created, record.completed.value_or(record.created),
             record.error ? record.error->message : "", false};
  const std::string root = id_of("build " + record.ref, kSpanIdSize);
  std::string out = span_line(build, caller, root, record, steps.size());
  for (const Span& step : steps) {
    out += span_line(step, {caller.trace, root}, id_of(record.ref + step.digest, kSpanIdSize), record, 0);
  }
  return out;
}

}  // namespace kiln::daemon
