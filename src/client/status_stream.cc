#include "client/status_stream.h"

#include <google/protobuf/timestamp.pb.h>

#include "base/timestamp.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

Time time_of(const google::protobuf::Timestamp& stamp) { return timestamp(stamp.seconds(), stamp.nanos()); }

template <typename Message>
void set_span(const Message& from, auto& to) {
  if (from.has_started()) to.started = time_of(from.started());
  if (from.has_completed()) to.completed = time_of(from.completed());
}

event::Vertex vertex_of(const moby::buildkit::v1::Vertex& v) {
  event::Vertex out;
  out.digest = Digest::trusted(v.digest());
  for (const std::string& input : v.inputs()) out.inputs.push_back(Digest::trusted(input));
  out.name = v.name();
  out.cached = v.cached();
  out.error = v.error();
  set_span(v, out);
  if (v.has_progressgroup())
    out.group = event::ProgressGroup{v.progressgroup().id(), v.progressgroup().name(), v.progressgroup().weak()};
  return out;
}

event::VertexWarning warning_of(const moby::buildkit::v1::VertexWarning& w) {
  event::VertexWarning out;
  out.vertex = Digest::trusted(w.vertex());
  out.level = static_cast<int>(w.level());
  out.short_text = w.short_();
  out.detail.assign(w.detail().begin(), w.detail().end());
  out.url = w.url();
  if (w.has_info()) {
    auto source = std::make_shared<event::SourceInfo>();
    source->filename = w.info().filename();
    source->data = w.info().data();
    source->language = w.info().language();
    out.source = std::move(source);
  }
  for (const auto& range : w.ranges()) {
    out.ranges.push_back(
        {{range.start().line(), range.start().character()}, {range.end().line(), range.end().character()}});
  }
  return out;
}

}  // namespace

ProgressUpdate update_of(const moby::buildkit::v1::StatusResponse& response) {
  ProgressUpdate out;
  for (const auto& v : response.vertexes()) out.vertices.push_back(vertex_of(v));
  for (const auto& s : response.statuses()) {
    event::VertexStatus status;
    status.id = s.id();
    status.vertex = Digest::trusted(s.vertex());
    status.name = s.name();
    status.current = s.current();
    status.total = s.total();
    status.timestamp = time_of(s.timestamp());
    set_span(s, status);
    out.statuses.push_back(std::move(status));
  }
  for (const auto& l : response.logs()) {
    out.logs.push_back(
        {Digest::trusted(l.vertex()), static_cast<event::LogStream>(l.stream()), time_of(l.timestamp()), l.msg()});
  }
  for (const auto& w : response.warnings()) out.warnings.push_back(warning_of(w));
  return out;
}

Status follow_status(const Connection& connection, const std::string& ref,
                     const std::function<void(const ProgressUpdate&)>& told, std::stop_token stop) {
  moby::buildkit::v1::StatusRequest request;
  request.set_ref(ref);
  moby::buildkit::v1::StatusResponse response;
  auto each = [&] {
    told(update_of(response));
    return ok();
  };
  Status status = connection.call_each(kControl + "Status", request, response, each, stop);
  if (stop.stop_requested()) return ok();
  return status;
}

}  // namespace kiln::client
