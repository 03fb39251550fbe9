#include "daemon/status_messages.h"

#include "base/timestamp.h"
#include "base/utf8_text.h"
#include "wire/control.pb.h"

namespace kiln::daemon {

void to_message(Time time, google::protobuf::Timestamp& out) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<std::int32_t>((since - seconds).count()));
}

Time from_message(const google::protobuf::Timestamp& in) { return timestamp(in.seconds(), in.nanos()); }

void to_message(const event::Vertex& vertex, moby::buildkit::v1::Vertex& out) {
  out.set_digest(vertex.digest.str());
  for (const Digest& input : vertex.inputs) out.add_inputs(input.str());
  out.set_name(to_valid_utf8(vertex.name));
  out.set_cached(vertex.cached);
  if (vertex.started) to_message(*vertex.started, *out.mutable_started());
  if (vertex.completed) to_message(*vertex.completed, *out.mutable_completed());
  out.set_error(to_valid_utf8(vertex.error));
  if (vertex.group) {
    out.mutable_progressgroup()->set_id(vertex.group->id);
    out.mutable_progressgroup()->set_name(to_valid_utf8(vertex.group->name));
    out.mutable_progressgroup()->set_weak(vertex.group->weak);
  }
}

void to_message(const event::VertexStatus& status, moby::buildkit::v1::VertexStatus& out) {
  out.set_id(to_valid_utf8(status.id));
  out.set_vertex(status.vertex.str());
  out.set_name(to_valid_utf8(status.name));
  out.set_current(status.current);
  out.set_total(status.total);
  to_message(status.timestamp, *out.mutable_timestamp());
  if (status.started) to_message(*status.started, *out.mutable_started());
  if (status.completed) to_message(*status.completed, *out.mutable_completed());
}

void to_message(const event::VertexLog& log, moby::buildkit::v1::VertexLog& out) {
  out.set_vertex(log.vertex.str());
  to_message(log.timestamp, *out.mutable_timestamp());
  out.set_stream(static_cast<std::int64_t>(log.stream));
  out.set_msg(log.data);
}

void to_message(const event::VertexWarning& warning, moby::buildkit::v1::VertexWarning& out) {
  out.set_vertex(warning.vertex.str());
  out.set_level(warning.level);
  out.set_short_(warning.short_text);
  for (const std::string& line : warning.detail) out.add_detail(line);
  out.set_url(to_valid_utf8(warning.url));
  if (warning.source) {
    pb::SourceInfo& info = *out.mutable_info();
    info.set_filename(to_valid_utf8(warning.source->filename));
    info.set_data(warning.source->data);
    info.set_language(warning.source->language);
    if (!warning.source->definition.empty()) info.mutable_definition()->ParseFromString(warning.source->definition);
  }
  for (const event::Range& range : warning.ranges) {
    pb::Range& message = *out.add_ranges();
    message.mutable_start()->set_line(range.start.line);
    message.mutable_start()->set_character(range.start.character);
    message.mutable_end()->set_line(range.end.line);
    message.mutable_end()->set_character(range.end.character);
  }
}

}  // namespace kiln::daemon
