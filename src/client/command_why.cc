// why: which steps of a build were not found in the cache, and what differed from the last time.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "client/internal/messages.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;
using Json = nlohmann::ordered_json;

// The annotation of a record's log that names its misses, see docs/formats/misses.md.
constexpr const char* kMissesAnnotation = "dev.kiln.misses";

Status each_record(const Invocation& call, const Connection& connection, const std::string& ref,
                   const std::function<void(const control::BuildHistoryRecord&)>& visit) {
  control::BuildHistoryRequest request;
  request.set_earlyexit(true);
  request.set_ref(ref);
  control::BuildHistoryEvent event;
  auto each = [&] {
    if (event.type() == control::COMPLETE) visit(event.record());
    return ok();
  };
  return connection.call_each(kControl + "ListenBuildHistory", request, event, each, call.stop);
}

// The record of `ref`, or of the build that ended last.
Result<control::BuildHistoryRecord> find_record(const Invocation& call, const Connection& connection,
                                                const std::string& ref) {
  std::optional<control::BuildHistoryRecord> found;
  auto later = [](const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
    return std::pair(a.seconds(), a.nanos()) >= std::pair(b.seconds(), b.nanos());
  };
  KILN_RETURN_IF_ERROR(each_record(call, connection, ref, [&](const control::BuildHistoryRecord& record) {
    if (!found || later(record.completedat(), found->completedat())) found = record;
  }));
  if (!found) {
    return user_error(Code::kNotFound, ref.empty() ? "no build has ended yet"
                                                   : fmt::format("no build '{}'; 'debug histories' lists them", ref));
  }
  return *found;
}

// What a record still lacks is written now.
Status finalize(const Invocation& call, const Connection& connection, const std::string& ref) {
  control::UpdateBuildHistoryRequest request;
  request.set_ref(ref);
  request.set_finalize(true);
  return update_record(call, connection, request);
}

Result<Json> misses_of(const Invocation& call, const Connection& connection,
                       const control::BuildHistoryRecord& record) {
  auto digest = record.logs().annotations().find(kMissesAnnotation);
  if (digest == record.logs().annotations().end()) {
    return user_error(Code::kNotFound,
                      fmt::format("the daemon kept nothing about the misses of build '{}'", record.ref()));
  }
  KILN_ASSIGN_OR_RETURN(std::string text, read_blob(call, connection, digest->second));
  Json misses = Json::parse(text, nullptr, false);
  if (!misses.is_object() || !misses.contains("steps") || !misses["steps"].is_array())
    return peer_error(Code::kInternal, "the daemon's answer about misses is not readable");
  return misses;
}

std::string text_at(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string() ? object[key].get<std::string>()
                                                                               : std::string();
}

void keep_only(Json& steps, const std::string& wanted) {
  Json kept = Json::array();
  for (auto& step : steps) {
    if (text_at(step, "name").find(wanted) != std::string::npos || text_at(step, "vertex").starts_with(wanted))
      kept.push_back(step);
  }
  steps = std::move(kept);
}

std::string steps_text(const Json& steps) {
  std::string out;
  for (const auto& step : steps) {
    out += text_at(step, "name") + "\n";
    if (step.contains("summary") && step["summary"].is_array()) {
      for (const auto& line : step["summary"])
        if (line.is_string()) out += fmt::format("    {}\n", line.get<std::string>());
    }
    if (step.contains("nearest") && text_at(step, "verdict") == "changed")
      out += fmt::format("    (compared with build {})\n", text_at(step["nearest"], "ref"));
  }
  return out;
}

}  // namespace

Status run_why(const Invocation& call) {
  const std::vector<std::string>& words = call.line.arguments();
  if (words.size() > 2) return user_error(Code::kInvalidArgument, "give at most a build and a step");
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  std::string ref = words.empty() ? "" : words[0], wanted = words.size() > 1 ? words[1] : "";
  Result<control::BuildHistoryRecord> record = find_record(call, *connection, ref);
  // A single word may be a step of the last build.
  if (!record.ok() && absl::IsNotFound(record.status()) && words.size() == 1) {
    std::swap(ref, wanted);
    record = find_record(call, *connection, ref);
  }
  KILN_RETURN_IF_ERROR(record.status());
  KILN_RETURN_IF_ERROR(finalize(call, *connection, record->ref()));
  KILN_ASSIGN_OR_RETURN(record, find_record(call, *connection, record->ref()));
  KILN_ASSIGN_OR_RETURN(Json misses, misses_of(call, *connection, *record));
  if (!wanted.empty()) keep_only(misses["steps"], wanted);
  if (std::string format = call.line.text("format"); !format.empty()) {
    misses["ref"] = record->ref();
    std::string json = misses.dump(2, ' ', false, Json::error_handler_t::replace);
    return format == "json" ? print(json + "\n") : print_formatted(format, json);
  }
  if (misses["steps"].empty()) {
    return print(wanted.empty() ? fmt::format("every step of build {} was found in the cache\n", record->ref())
                                : fmt::format("no step like '{}' of build {} had to run\n", wanted, record->ref()));
  }
  return print(steps_text(misses["steps"]));
}

}  // namespace kiln::client
