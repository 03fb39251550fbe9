// debug workers, info, get, ctl: single questions to a daemon.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/platform.h"
#include "base/text.h"
#include "client/internal/messages.h"
#include "client/table_text.h"
#include "wire/content.pb.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;
namespace types = moby::buildkit::v1::types;
using Json = nlohmann::ordered_json;

template <typename Map>
std::map<std::string, std::string> sorted(const Map& map) {
  return {map.begin(), map.end()};
}

std::string platforms_of(const types::WorkerRecord& worker) {
  std::vector<std::string> out;
  for (const auto& p : worker.platforms())
    out.push_back(Platform{p.os(), p.architecture(), p.variant(), "", {}}.normalized().str());
  return join(out, ",");
}

Json version_json(const types::BuildkitVersion& version) {
  Json out = {{"package", version.package()}, {"version", version.version()}, {"revision", version.revision()}};
  if (!version.dockerfileversion().empty()) out["dockerfileVersion"] = version.dockerfileversion();
  return out;
}

Json worker_json(const types::WorkerRecord& worker) {
  Json out = Json::object();
  out["id"] = worker.id();
  out["labels"] = sorted(worker.labels());
  out["platforms"] = Json::array();
  for (const auto& p : worker.platforms()) {
    Json platform = {{"architecture", p.architecture()}, {"os", p.os()}};
    if (!p.variant().empty()) platform["variant"] = p.variant();
    out["platforms"].push_back(std::move(platform));
  }
  out["gcPolicy"] = Json::array();
  for (const auto& p : worker.gcpolicy()) {
    out["gcPolicy"].push_back(
        {{"all", p.all()},
         {"filter",
          p.filters().empty() ? Json() : Json(std::vector<std::string>(p.filters().begin(), p.filters().end()))},
         {"keepDuration", p.keepduration()},
         {"reservedSpace", p.reservedspace()},
         {"maxUsedSpace", p.maxusedspace()},
         {"minFreeSpace", p.minfreespace()}});
  }
  out["buildkitVersion"] = version_json(worker.buildkitversion());
  out["cdiDevices"] = Json();
  for (const auto& d : worker.cdidevices()) {
    out["cdiDevices"].push_back({{"name", d.name()},
                                 {"autoAllow", d.autoallow()},
                                 {"annotations", sorted(d.annotations())},
                                 {"onDemand", d.ondemand()}});
  }
  return out;
}

std::string devices_text(const types::WorkerRecord& worker) {
  if (worker.cdidevices().empty()) return "";
  std::string out = "Devices:\n";
  for (const auto& device : worker.cdidevices()) {
    out += fmt::format("\tName:\t{}\n", device.name());
    out += device.ondemand() ? "\tOnDemand:\ttrue\n" : fmt::format("\tAutoAllow:\t{}\n", device.autoallow());
    for (const auto& [key, value] : sorted(device.annotations()))
      out += fmt::format("\tAnnotations:\t{}:\t{}\n", key, value);
  }
  return out + "\n";
}

std::string worker_text(const types::WorkerRecord& worker) {
  const auto& version = worker.buildkitversion();
  std::string out = fmt::format("ID:\t{}\nPlatforms:\t{}\nBuildKit:\t{} {} {}\n", worker.id(), platforms_of(worker),
                                version.package(), version.version(), version.revision());
  if (!version.dockerfileversion().empty()) out += fmt::format("Dockerfile:\t{}\n", version.dockerfileversion());
  out += "Labels:\n";
  for (const auto& [key, value] : sorted(worker.labels())) out += fmt::format("\t{}:\t{}\n", key, value);
  out += devices_text(worker);
  int number = 0;
  for (const auto& rule : worker.gcpolicy()) {
    out += fmt::format("GC Policy rule#{}:\n\tAll:\t{}\n", number++, rule.all());
    if (!rule.filters().empty()) out += fmt::format("\tFilters:\t{}\n", join(rule.filters(), " "));
    if (rule.keepduration() > 0) out += fmt::format("\tKeep duration:\t{}\n", go_duration(rule.keepduration()));
    if (rule.reservedspace() > 0)
      out += fmt::format("\tReserved space:\t{}\n", human_bytes_short(rule.reservedspace()));
    if (rule.minfreespace() > 0)
      out += fmt::format("\tMinimum free space:\t{}\n", human_bytes_short(rule.minfreespace()));
    if (rule.maxusedspace() > 0)
      out += fmt::format("\tMaximum used space:\t{}\n", human_bytes_short(rule.maxusedspace()));
  }
  return out + "\n";
}

}  // namespace

Status run_workers(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  control::ListWorkersRequest request;
  for (const std::string& filter : call.line.list("filter")) request.add_filter(filter);
  control::ListWorkersResponse response;
  Status status = connection->call(kControl + "ListWorkers", {}, request, response, call.stop);
  if (!status.ok()) return annotate(status, "failed to list workers");
  if (std::string format = call.line.text("format"); !format.empty()) {
    Json list = Json::array();
    for (const auto& worker : response.record()) list.push_back(worker_json(worker));
    return print_formatted(format, list.dump());
  }
  std::string out;
  if (!call.line.on("verbose")) out = "ID\tPLATFORMS\n";
  for (const auto& worker : response.record()) {
    out += call.line.on("verbose") ? worker_text(worker) : fmt::format("{}\t{}\n", worker.id(), platforms_of(worker));
  }
  return print(align_columns(out, Fill::kTabs));
}

Status run_info(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  control::InfoResponse response;
  Status status = connection->call(kControl + "Info", {}, control::InfoRequest(), response, call.stop);
  if (!status.ok()) return annotate(status, "failed to call info");
  const auto& version = response.buildkitversion();
  if (std::string format = call.line.text("format"); !format.empty()) {
    return print_formatted(format, Json{{"buildkitVersion", version_json(version)}}.dump());
  }
  std::string out = fmt::format("BuildKit:\t{} {} {}\n", version.package(), version.version(), version.revision());
  if (!version.dockerfileversion().empty()) out += fmt::format("Dockerfile:\t{}\n", version.dockerfileversion());
  return print(align_columns(out, Fill::kBlanks));
}

namespace {

Status each_piece(const Invocation& call, const Connection& connection, const std::string& digest,
                  const std::function<Status(const std::string&)>& take) {
  namespace blobs = containerd::services::content::v1;
  blobs::ReadContentRequest request;
  request.set_digest(digest);
  blobs::ReadContentResponse response;
  return connection.call_each(
      "/containerd.services.content.v1.Content/Read", request, response, [&] { return take(response.data()); },
      call.stop);
}

}  // namespace

Status print_blob(const Invocation& call, const Connection& connection, const std::string& digest) {
  return each_piece(call, connection, digest, [](const std::string& piece) { return print(piece); });
}

Result<std::string> read_blob(const Invocation& call, const Connection& connection, const std::string& digest) {
  std::string out;
  KILN_RETURN_IF_ERROR(each_piece(call, connection, digest, [&](const std::string& piece) {
    out += piece;
    return ok();
  }));
  return out;
}

Status run_get(const Invocation& call) {
  if (call.line.arguments().empty()) return user_error(Code::kInvalidArgument, "blob digest must be specified");
  KILN_ASSIGN_OR_RETURN(Digest digest, Digest::parse(call.line.arguments()[0]));
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  return print_blob(call, *connection, digest.str());
}

Status run_ctl(const Invocation& call) {
  const CommandLine& line = call.line;
  if (line.arguments().empty()) return user_error(Code::kInvalidArgument, "build ref must be specified");
  bool pin = line.on("pin"), unpin = line.on("unpin"), remove = line.on("delete");
  if (!pin && !unpin && !remove)
    return user_error(Code::kInvalidArgument, "must specify one of --pin, --unpin, --delete");
  if (pin && unpin) return user_error(Code::kInvalidArgument, "cannot specify both --pin and --unpin");
  if (remove && (pin || unpin))
    return user_error(Code::kInvalidArgument, "cannot specify --delete with --pin or --unpin");
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  control::UpdateBuildHistoryRequest request;
  request.set_ref(line.arguments()[0]);
  request.set_pinned(pin);
  request.set_delete_(remove);
  return update_record(call, *connection, request);
}

}  // namespace kiln::client
