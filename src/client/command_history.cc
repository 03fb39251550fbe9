// Records of builds: list, delete, follow, replay.
#include <fmt/format.h>
#include <unistd.h>

#include "client/go_template.h"
#include "client/internal/messages.h"
#include "client/status_stream.h"
#include "client/table_text.h"
#include "client/view_pump.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;

// Calls back for each event until the stream ends or an error comes back.
Status each_event(const Invocation& call, const Connection& connection, const control::BuildHistoryRequest& request,
                  const std::function<Status(const control::BuildHistoryEvent&)>& visit) {
  control::BuildHistoryEvent event;
  return connection.call_each(
      kControl + "ListenBuildHistory", request, event, [&] { return visit(event); }, call.stop);
}

control::BuildHistoryRequest all_records() {
  control::BuildHistoryRequest request;
  request.set_earlyexit(true);
  return request;
}

// One row; the pinned column only where it is wanted.
enum class Pinned { kHide, kShow };
std::string record_row(const control::BuildHistoryEvent& event, Pinned pinned) {
  const auto& record = event.record();
  std::string created = record.has_createdat() ? rfc3339_local(record.createdat()) : "";
  std::string completed = record.has_completedat() ? rfc3339_local(record.completedat()) : "";
  return fmt::format("{}\t{}\t{}\t{}\t{}{}\n", control::BuildHistoryEventType_Name(event.type()), record.ref(), created,
                     completed, record.generation(),
                     pinned == Pinned::kHide ? ""
                     : record.pinned()       ? "\t*"
                                             : "\t");
}

std::string descriptor_text(const control::Descriptor& d) {
  std::string out = fmt::format("media_type:\"{}\" digest:\"{}\" size:{}", d.media_type(), d.digest(), d.size());
  for (const auto& [key, value] : std::map<std::string, std::string>(d.annotations().begin(), d.annotations().end()))
    out += fmt::format(" annotations:{{key:\"{}\" value:\"{}\"}}", key, value);
  return out;
}

std::string result_text(const control::BuildResultInfo& result, const std::string& key) {
  std::string prefix = key.empty() ? "  " : fmt::format("  [{}] ", key), out;
  for (const auto& [index, descriptor] : result.results())
    out += fmt::format("{}descriptor: {}\n", prefix, descriptor_text(descriptor));
  if (result.results().empty() && result.has_resultdeprecated())
    out += fmt::format("{}descriptor: {}\n", prefix, descriptor_text(result.resultdeprecated()));
  for (const auto& attestation : result.attestations())
    out += fmt::format("{}attestation: {}\n", prefix, descriptor_text(attestation));
  return out;
}

std::string event_text(const control::BuildHistoryEvent& event) {
  const auto& record = event.record();
  std::string out = fmt::format("event: {} ref:{}\n", control::BuildHistoryEventType_Name(event.type()), record.ref());
  if (record.numtotalsteps() != 0)
    out += fmt::format("  cache: {}/{}\n", record.numcachedsteps(), record.numtotalsteps());
  if (record.numwarnings() != 0) out += fmt::format("  warnings: {}\n", record.numwarnings());
  if (record.has_logs()) out += fmt::format("  logs: {}\n", descriptor_text(record.logs()));
  if (record.has_trace()) out += fmt::format("  trace: {}\n", descriptor_text(record.trace()));
  if (record.has_result()) out += result_text(record.result(), "");
  for (const auto& [key, result] : record.results()) out += result_text(result, key);
  return out;
}

Status delete_record(const Invocation& call, const Connection& connection, const std::string& ref) {
  control::UpdateBuildHistoryRequest request;
  request.set_ref(ref);
  request.set_delete_(true);
  return update_record(call, connection, request);
}

Result<std::optional<GoTemplate>> format_of(const Invocation& call) {
  std::optional<GoTemplate> format;
  if (std::string text = call.line.text("format"); !text.empty()) {
    KILN_ASSIGN_OR_RETURN(format, GoTemplate::parse(text));
  }
  return format;
}

Result<std::string> rendered(const GoTemplate& format, const control::BuildHistoryEvent& event) {
  KILN_ASSIGN_OR_RETURN(std::string text, format.render(template_json(event)));
  return text + "\n";
}

Status print_trace(const Invocation& call, const Connection& connection, const std::string& ref) {
  control::BuildHistoryRequest request;
  request.set_ref(ref);
  request.set_earlyexit(true);
  std::string digest;
  bool found = false;
  KILN_RETURN_IF_ERROR(each_event(call, connection, request, [&](const control::BuildHistoryEvent& event) {
    found = true;
    digest = event.record().trace().digest();
    return ok();
  }));
  if (!found) return user_error(Code::kNotFound, fmt::format("ref {} not found", ref));
  if (digest.empty()) return user_error(Code::kNotFound, fmt::format("ref {} does not have trace", ref));
  return print_blob(call, connection, digest);
}

}  // namespace

Status run_histories(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(std::optional<GoTemplate> format, format_of(call));
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  // Each record is shown as it comes, so columns are aligned with the head for the first only.
  std::string out = format ? "" : "TYPE\tREF\tCREATED\tCOMPLETED\tGENERATION\tPINNED\n";
  KILN_RETURN_IF_ERROR(
      each_event(call, *connection, all_records(), [&](const control::BuildHistoryEvent& event) -> Status {
        if (!format) {
          out += record_row(event, Pinned::kShow);
          return print(align_columns(std::exchange(out, ""), Fill::kTabs));
        }
        KILN_ASSIGN_OR_RETURN(std::string text, rendered(*format, event));
        return print(text);
      }));
  return print(align_columns(out, Fill::kTabs));
}

Status run_prune_histories(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(std::optional<GoTemplate> format, format_of(call));
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  std::vector<control::BuildHistoryEvent> events;
  KILN_RETURN_IF_ERROR(each_event(call, *connection, all_records(), [&](const control::BuildHistoryEvent& event) {
    if (event.has_record() && !event.record().pinned()) events.push_back(event);
    return ok();
  }));
  std::string out = format ? "" : "TYPE\tREF\tCREATED\tCOMPLETED\tGENERATION\n";
  Status first_failure;
  for (const control::BuildHistoryEvent& event : events) {
    if (Status status = delete_record(call, *connection, event.record().ref()); !status.ok()) {
      if (first_failure.ok()) first_failure = status;
      continue;
    }
    if (format) {
      KILN_ASSIGN_OR_RETURN(std::string text, rendered(*format, event));
      out += text;
    } else {
      out += record_row(event, Pinned::kHide);
    }
  }
  KILN_RETURN_IF_ERROR(print(format ? out : align_columns(out, Fill::kTabs)));
  return first_failure;
}

Status run_monitor(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  control::BuildHistoryRequest request;
  request.set_activeonly(!call.line.on("completed"));
  request.set_ref(call.line.text("ref"));
  Status status = each_event(call, *connection, request,
                             [](const control::BuildHistoryEvent& event) { return print(event_text(event)); });
  return call.stop.stop_requested() ? ok() : status;
}

Status run_logs(const Invocation& call) {
  if (call.line.arguments().empty()) return user_error(Code::kInvalidArgument, "build ref must be specified");
  const std::string& ref = call.line.arguments()[0];
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  if (call.line.on("trace")) return print_trace(call, *connection, ref);
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ProgressView> view,
                        make_view(call.line.text("progress"), STDOUT_FILENO, call.environment));
  ViewPump pump(std::move(view), tick_of(call.environment));
  Status status = follow_status(
      *connection, ref, [&](const ProgressUpdate& update) { pump.push(update); }, call.stop);
  pump.finish();
  return status;
}

}  // namespace kiln::client
