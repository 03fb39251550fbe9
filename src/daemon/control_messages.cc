#include "daemon/control_messages.h"

#include <fmt/format.h>

#include <set>

#include "base/utf8_text.h"
#include "base/value.h"
#include "base/version.h"
#include "daemon/status_messages.h"
#include "graph/definition.h"
#include "history/history.h"
#include "wire/control.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1;

Attrs attrs(const google::protobuf::Map<std::string, std::string>& from) { return {from.begin(), from.end()}; }

Result<graph::Definition> definition(const pb::Definition& from) {
  return graph::decode_definition(from.SerializeAsString());
}

// Two exports to one place would overwrite each other. Inline has no place: the first counts.
Status add_cache_exports(const api::CacheOptions& in, SolveRequest& out) {
  std::set<std::string> seen;
  bool has_inline = false;
  std::string twice;
  for (const auto& entry : in.exports()) {
    if (entry.type() == "inline" && std::exchange(has_inline, has_inline || entry.type() == "inline")) continue;
    CacheSpec spec{entry.type(), attrs(entry.attrs())};
    if (spec.type == "local" && out.session.empty()) {
      return user_error(Code::kInvalidArgument,
                        "failed to configure local cache exporter: local cache exporter/importer requires session");
    }
    std::string key = spec.type;
    if (spec.type == "registry" && !spec.attrs["ref"].empty()) {
      key = spec.attrs["ref"];
    } else {
      for (const auto& [name, value] : spec.attrs) key += fmt::format("\n{}={}", name, value);
    }
    if (!seen.insert(key).second) twice += (twice.empty() ? "" : " ") + spec.type;
    out.cache_exports.push_back(std::move(spec));
  }
  if (!twice.empty()) return user_error(Code::kInvalidArgument, fmt::format("duplicate cache exports [{}]", twice));
  return ok();
}

// Clients before 0.4 name one export and several imports by reference.
Status add_cache(const api::CacheOptions& in, SolveRequest& out) {
  KILN_RETURN_IF_ERROR(add_cache_exports(in, out));
  if (!in.exportrefdeprecated().empty()) {
    CacheSpec spec{"registry", attrs(in.exportattrsdeprecated())};
    spec.attrs["ref"] = in.exportrefdeprecated();
    out.cache_exports.push_back(std::move(spec));
  }
  for (const auto& entry : in.imports()) out.cache_imports.push_back({entry.type(), attrs(entry.attrs())});
  for (const std::string& ref : in.importrefsdeprecated()) out.cache_imports.push_back({"registry", {{"ref", ref}}});
  return ok();
}

void add_exporters(const api::SolveRequest& in, SolveRequest& out) {
  for (const auto& exporter : in.exporters()) out.exporters.push_back({exporter.type(), attrs(exporter.attrs())});
  if (out.exporters.empty() && !in.exporterdeprecated().empty()) {
    out.exporters.push_back({in.exporterdeprecated(), attrs(in.exporterattrsdeprecated())});
  }
  // A build argument that fixes the time of the build fixes the exporters' too.
  auto epoch = out.frontend_attrs.find("build-arg:SOURCE_DATE_EPOCH");
  if (epoch == out.frontend_attrs.end() || epoch->second.empty()) return;
  // "context" and the like are for the frontend, which tells the exporters what time it found.
  if (!parse_integer(epoch->second)) return;
  for (ExporterSpec& exporter : out.exporters) exporter.attrs.emplace("source-date-epoch", epoch->second);
}

}  // namespace

Result<SolveRequest> from_message(const api::SolveRequest& in) {
  SolveRequest out;
  // It is the key of the build's record, and of its status.
  if (in.ref().empty())
    return user_error(Code::kInvalidArgument, "the request has no ref, by which the build is known");
  out.ref = in.ref();
  if (in.has_definition()) {
    KILN_ASSIGN_OR_RETURN(out.definition, definition(in.definition()));
  }
  out.frontend = in.frontend();
  out.frontend_attrs = attrs(in.frontendattrs());
  for (const auto& [name, input] : in.frontendinputs()) {
    KILN_ASSIGN_OR_RETURN(out.frontend_inputs[name], definition(input));
  }
  add_exporters(in, out);
  out.session = in.session();
  KILN_RETURN_IF_ERROR(add_cache(in.cache(), out));
  out.entitlements.assign(in.entitlements().begin(), in.entitlements().end());
  out.internal = in.internal();
  if (in.has_sourcepolicy()) out.source_policy = in.sourcepolicy().SerializeAsString();
  out.source_policy_session = in.sourcepolicysession();
  out.enable_session_exporter = in.enablesessionexporter();
  out.compatibility_version = in.compatibilityversion();
  out.proxy_network = in.proxynetwork();
  // For clients that cannot send metadata.
  auto explain = out.frontend_attrs.find("build-arg:KILN_EXPLAIN");
  out.explain = explain != out.frontend_attrs.end() && parse_bool(explain->second).value_or(false);
  return out;
}

void to_message(const SolveResponse& response, moby::buildkit::v1::SolveResponse& out) {
  out.mutable_exporterresponse()->insert(response.exporter_response.begin(), response.exporter_response.end());
}

store::PruneOptions from_message(const api::PruneRequest& in) {
  store::PruneOptions out;
  out.filters.assign(in.filter().begin(), in.filter().end());
  out.all = in.all();
  out.keep_duration = Duration(in.keepduration());
  out.reserved_space = in.reservedspace();
  out.max_used_space = in.maxusedspace();
  out.min_free_space = in.minfreespace();
  return out;
}

void to_message(const store::Usage& usage, api::UsageRecord& out) {
  out.set_id(usage.id);
  out.set_mutable_(usage.is_mutable);
  out.set_inuse(usage.in_use);
  out.set_size(usage.size);
  for (const std::string& parent : usage.parents) out.add_parents(parent);
  to_message(usage.created, *out.mutable_createdat());
  if (usage.last_used) to_message(*usage.last_used, *out.mutable_lastusedat());
  out.set_usagecount(usage.usage_count);
  out.set_description(to_valid_utf8(usage.description));
  out.set_recordtype(std::string(store::to_string(usage.type)));
  out.set_shared(usage.shared);
}

void to_message(const history::Event& event, api::BuildHistoryEvent& out) {
  out.set_type(static_cast<api::BuildHistoryEventType>(event.kind));
  out.mutable_record()->ParseFromString(history::encode_record(event.record));
}

void to_message(const frontend::WorkerInfo& worker, const std::vector<store::PruneOptions>& policy,
                api::types::WorkerRecord& out) {
  out.set_id(worker.id);
  for (const auto& [key, value] : worker.labels) (*out.mutable_labels())[key] = value;
  for (const Platform& platform : worker.platforms) {
    pb::Platform& message = *out.add_platforms();
    message.set_os(platform.os);
    message.set_architecture(platform.architecture);
    message.set_variant(platform.variant);
    message.set_osversion(platform.os_version);
    for (const std::string& feature : platform.os_features) message.add_osfeatures(feature);
  }
  for (const store::PruneOptions& rule : policy) {
    api::types::GCPolicy& message = *out.add_gcpolicy();
    message.set_all(rule.all);
    for (const std::string& filter : rule.filters) message.add_filters(filter);
    message.set_keepduration(rule.keep_duration.count());
    message.set_reservedspace(rule.reserved_space);
    message.set_maxusedspace(rule.max_used_space);
    message.set_minfreespace(rule.min_free_space);
  }
  for (const frontend::WorkerDevice& device : worker.devices) {
    api::types::CDIDevice& message = *out.add_cdidevices();
    message.set_name(device.name);
    message.set_autoallow(device.auto_allow);
    message.mutable_annotations()->insert(device.annotations.begin(), device.annotations.end());
  }
  fill_version(*out.mutable_buildkitversion());
}

void fill_version(api::types::BuildkitVersion& out) {
  out.set_package(kPackage);
  out.set_version(kCompatibleVersion);
  out.set_revision(kRevision);
  out.set_dockerfileversion(kDockerfileVersion);
}

}  // namespace kiln::daemon
