#include "base/timestamp.h"
#include "base/utf8_text.h"
#include "history/history.h"
#include "wire/control.pb.h"

namespace kiln::history {
namespace {

namespace api = moby::buildkit::v1;

void put_time(Time time, google::protobuf::Timestamp& out) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<std::int32_t>((since - seconds).count()));
}
Time get_time(const google::protobuf::Timestamp& in) { return timestamp(in.seconds(), in.nanos()); }

void put(const std::map<std::string, std::string>& from, google::protobuf::Map<std::string, std::string>& to) {
  for (const auto& [key, value] : from) to[to_valid_utf8(key)] = to_valid_utf8(value);
}
std::map<std::string, std::string> get(const google::protobuf::Map<std::string, std::string>& from) {
  return {from.begin(), from.end()};
}

void put(const Descriptor& from, api::Descriptor& to) {
  to.set_media_type(from.media_type);
  to.set_digest(from.digest);
  to.set_size(from.size);
  put(from.annotations, *to.mutable_annotations());
}
Descriptor get(const api::Descriptor& from) {
  return {from.media_type(), from.digest(), from.size(), get(from.annotations())};
}

void put(const ResultInfo& from, api::BuildResultInfo& to) {
  for (const Descriptor& attestation : from.attestations) put(attestation, *to.add_attestations());
  for (const auto& [index, descriptor] : from.results) put(descriptor, (*to.mutable_results())[index]);
  // Clients older than several exporters look here.
  if (!from.results.empty()) put(from.results.begin()->second, *to.mutable_resultdeprecated());
}
ResultInfo get(const api::BuildResultInfo& from) {
  ResultInfo to;
  for (const auto& attestation : from.attestations()) to.attestations.push_back(get(attestation));
  for (const auto& [index, descriptor] : from.results()) to.results.emplace(index, get(descriptor));
  return to;
}

}  // namespace

std::string encode_record(const Record& record) {
  api::BuildHistoryRecord out;
  out.set_ref(record.ref);
  out.set_frontend(record.frontend);
  put(record.frontend_attrs, *out.mutable_frontendattrs());
  for (const Exporter& exporter : record.exporters) {
    api::Exporter& message = *out.add_exporters();
    message.set_type(exporter.type);
    put(exporter.attrs, *message.mutable_attrs());
  }
  if (record.error) {
    out.mutable_error()->set_code(record.error->code);
    out.mutable_error()->set_message(to_valid_utf8(record.error->message));
  }
  if (record.external_error) put(*record.external_error, *out.mutable_externalerror());
  put_time(record.created, *out.mutable_createdat());
  if (record.completed) put_time(*record.completed, *out.mutable_completedat());
  if (record.logs) put(*record.logs, *out.mutable_logs());
  if (record.trace) put(*record.trace, *out.mutable_trace());
  put(record.exporter_response, *out.mutable_exporterresponse());
  if (record.result) put(*record.result, *out.mutable_result());
  for (const auto& [platform, info] : record.results) put(info, (*out.mutable_results())[platform]);
  out.set_generation(record.generation);
  out.set_pinned(record.pinned);
  out.set_numcachedsteps(record.cached_steps);
  out.set_numtotalsteps(record.total_steps);
  out.set_numcompletedsteps(record.completed_steps);
  out.set_numwarnings(record.warnings);
  return out.SerializeAsString();
}

Result<Record> decode_record(std::string_view bytes) {
  api::BuildHistoryRecord in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return environment_error(Code::kDataLoss, "a build record does not parse");
  }
  Record record;
  record.ref = in.ref();
  record.frontend = in.frontend();
  record.frontend_attrs = get(in.frontendattrs());
  for (const auto& exporter : in.exporters()) record.exporters.push_back({exporter.type(), get(exporter.attrs())});
  if (in.has_error()) record.error = Error{in.error().code(), in.error().message()};
  if (in.has_externalerror()) record.external_error = get(in.externalerror());
  record.created = get_time(in.createdat());
  if (in.has_completedat()) record.completed = get_time(in.completedat());
  if (in.has_logs()) record.logs = get(in.logs());
  if (in.has_trace()) record.trace = get(in.trace());
  record.exporter_response = get(in.exporterresponse());
  if (in.has_result()) record.result = get(in.result());
  for (const auto& [platform, info] : in.results()) record.results.emplace(platform, get(info));
  record.generation = in.generation();
  record.pinned = in.pinned();
  record.cached_steps = in.numcachedsteps();
  record.total_steps = in.numtotalsteps();
  record.completed_steps = in.numcompletedsteps();
  record.warnings = in.numwarnings();
  return record;
}

}  // namespace kiln::history
