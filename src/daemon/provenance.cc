// Attestation options, and the predicate in both versions of SLSA.
#include "daemon/provenance.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/value.h"
#include "base/version.h"
#include "daemon/provenance_parts.h"
#include "daemon/status_wire.h"
#include "host/fd.h"
#include "host/fs.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;
using Settings = std::map<std::string, std::string>;

constexpr const char* kBuildTypeV1 =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
constexpr const char* kBuildTypeV02 = "https://mobyproject.org/buildkit@v1";
constexpr std::int64_t kCurrentCompatibility = 30;

Status incomplete_error(const Capture& capture) {
  std::string text =
      "provenance materials are incomplete\n\nThe build requested complete provenance materials, but not all "
      "dependencies could be captured.";
  errdefs::ProvenanceMaterialsIncomplete detail;
  if (!capture.locals.empty()) text += "\n\nUncaptured local sources:";
  for (const std::string& name : capture.locals) {
    text += fmt::format("\n  - {}\n    reason: local_source", name.empty() ? "<unnamed>" : name);
    auto* one = detail.add_incomplete();
    one->set_name(name);
    one->set_reason("local_source");
  }
  if (!capture.unknown.empty()) text += "\n\nUncaptured requests:";
  for (const auto& request : capture.unknown) {
    text += "\n  - " + (request.name.empty() ? request.uri : request.name);
    for (const auto& [what, value] :
         {std::pair("method", request.method), std::pair("url", request.uri), std::pair("reason", request.reason)}) {
      if (!value.empty()) text += fmt::format("\n    {}: {}", what, value);
    }
    auto* one = detail.add_incomplete();
    one->set_op(request.op);
    one->set_name(request.name);
    one->set_method(request.method);
    one->set_uri(request.uri);
    one->set_reason(request.reason);
  }
  Status status = user_error(Code::kUnknown, text);
  set_detail(status, kDetailProvenance, detail.SerializeAsString());
  return status;
}

bool materials_complete(const Capture& capture) { return !capture.incomplete && capture.locals.empty(); }

Json network_json(const Capture& capture) {
  Json out = {{"mode", "proxy"}};
  for (const auto& request : capture.unknown) {
    out["proxy"]["incomplete"].push_back({{"op", request.op},
                                          {"name", request.name},
                                          {"method", request.method},
                                          {"uri", request.uri},
                                          {"reason", request.reason}});
  }
  return out;
}

// The parts that both versions arrange in their own ways.
struct Parts {
  RequestJson request;
  Json materials;
  Json build_config;               // null in mode min
  Json metadata = Json::object();  // vcs, source, layers, sysUsage
  bool materials_complete = false;
  bool request_complete = false;
  bool hermetic = false;
  Json environment = Json::object();
};

// Steps may be many: whole parts are moved into their places, never copied.
Json predicate_v1(Parts parts, const ProvenanceOptions& options, const ProvenanceRun& run) {
  Json internal = std::move(parts.environment);
  internal["builderPlatform"] = Platform::host().normalized().str();
  if (!parts.build_config.is_null()) internal["buildConfig"] = std::move(parts.build_config);
  Json definition = {{"buildType", kBuildTypeV1}};
  Json& external = definition["externalParameters"];
  external["configSource"] = std::move(parts.request.config_source);
  external["request"] = std::move(parts.request.parameters);
  definition["internalParameters"] = std::move(internal);
  if (!parts.materials.empty()) definition["resolvedDependencies"] = std::move(parts.materials);
  Json metadata = {{"invocationId", run.invocation_id},
                   {"startedOn", format_rfc3339(run.started)},
                   {"finishedOn", format_rfc3339(run.finished)},
                   {"buildkit_completeness",
                    {{"request", parts.request_complete}, {"resolvedDependencies", parts.materials_complete}}}};
  metadata["buildkit_metadata"] = std::move(parts.metadata);
  if (parts.hermetic) metadata["buildkit_hermetic"] = true;
  if (options.reproducible) metadata["buildkit_reproducible"] = true;
  Json out;
  out["buildDefinition"] = std::move(definition);
  out["runDetails"] = {{"builder", {{"id", options.builder_id}}}};
  out["runDetails"]["metadata"] = std::move(metadata);
  return out;
}

Json predicate_v02(Parts parts, const ProvenanceOptions& options, const ProvenanceRun& run) {
  Json source = std::move(parts.request.config_source);
  if (source.contains("path")) {
    source["entryPoint"] = source["path"];
    source.erase("path");
  }
  Json environment = std::move(parts.environment);
  environment["platform"] = Platform::host().normalized().str();
  Json metadata = {
      {"buildInvocationID", run.invocation_id},
      {"buildStartedOn", format_rfc3339(run.started)},
      {"buildFinishedOn", format_rfc3339(run.finished)},
      {"completeness",
       {{"parameters", parts.request_complete}, {"environment", true}, {"materials", parts.materials_complete}}},
      {"reproducible", options.reproducible}};
  metadata["https://mobyproject.org/buildkit@v1#metadata"] = std::move(parts.metadata);
  if (parts.hermetic) metadata["https://mobyproject.org/buildkit@v1#hermetic"] = true;
  Json out = {{"builder", {{"id", options.builder_id}}}, {"buildType", kBuildTypeV02}};
  Json& invocation = out["invocation"];
  invocation["configSource"] = std::move(source);
  invocation["parameters"] = std::move(parts.request.parameters);
  invocation["environment"] = std::move(environment);
  out["metadata"] = std::move(metadata);
  if (!parts.materials.empty()) out["materials"] = std::move(parts.materials);
  if (!parts.build_config.is_null()) out["buildConfig"] = std::move(parts.build_config);
  return out;
}

Result<bool> parse_flag(const std::string& name, const std::string& value) {
  if (auto flag = parse_bool(value)) return *flag;
  return user_error(Code::kInvalidArgument, fmt::format("failed to parse {} flag \"{}\"", name, value));
}

Status set_option(ProvenanceOptions& options, const std::string& key, const std::string& value) {
  if (key == "mode") {
    if (value != "min" && value != "max" && value != "full") {
      return user_error(Code::kInvalidArgument, fmt::format("invalid mode \"{}\"", value));
    }
    options.mode = value == "min" ? ProvenanceMode::kMin : ProvenanceMode::kMax;
  } else if (key == "version") {
    if (value != "v1" && value != "v0.2") {
      return user_error(Code::kInvalidArgument, value.empty() ? "provenance SLSA version cannot be empty"
                                                              : "invalid provenance SLSA version: " + value);
    }
    options.version = value == "v1" ? SlsaVersion::kV1 : SlsaVersion::kV02;
  } else if (key == "builder-id") {
    options.builder_id = value;
  } else if (key == "filename") {
    options.filename = value;
  } else if (key == "reproducible") {
    KILN_ASSIGN_OR_RETURN(options.reproducible, parse_flag(key, value));
  } else if (key == "complete-materials") {
    KILN_ASSIGN_OR_RETURN(options.complete_materials, parse_flag(key, value));
  } else if (key == "inline-only") {
    options.inline_only = parse_bool(value).value_or(false);
  } else if (key == "capture-usage") {
    options.capture_usage = parse_bool(value).value_or(false);
  }
  return ok();
}

}  // namespace

Result<std::optional<Settings>> attestation_settings(const Settings& opts, std::string_view wanted) {
  std::optional<Settings> out;
  for (const auto& [key, value] : opts) {
    constexpr std::string_view kArgument = "build-arg:BUILDKIT_ATTEST_";
    std::string kind;
    if (key.starts_with("attest:")) kind = to_lower(key.substr(7));
    if (key.starts_with(kArgument)) kind = to_lower(key.substr(kArgument.size()));
    if (kind.empty()) continue;
    if (kind != "sbom" && kind != "provenance") {
      return user_error(Code::kInvalidArgument, fmt::format("unknown attestation type \"{}\"", kind));
    }
    if (kind != wanted) continue;
    out.emplace();
    if (value.empty()) continue;
    auto fields = parse_csv(value);
    if (!fields.ok()) return annotate(fields.status(), "failed to parse " + kind);
    for (const std::string& field : *fields) {
      const auto [name, setting] = split_once(field, '=');
      (*out)[std::string(name)] = setting;
    }
  }
  return out;
}

Result<std::optional<ProvenanceOptions>> provenance_options(const Settings& opts) {
  KILN_ASSIGN_OR_RETURN(auto settings, attestation_settings(opts, "provenance"));
  if (!settings) return std::nullopt;
  if (auto disabled = settings->find("disabled"); disabled != settings->end() && disabled->second == "true")
    return std::nullopt;
  ProvenanceOptions out;
  for (const auto& [name, setting] : *settings) KILN_RETURN_IF_ERROR(set_option(out, name, setting));
  return out;
}

std::string predicate_type(SlsaVersion version) {
  return version == SlsaVersion::kV1 ? "https://slsa.dev/provenance/v1" : "https://slsa.dev/provenance/v0.2";
}

Status check_materials(const Capture& capture, const ProvenanceOptions& options) {
  if (!options.complete_materials || materials_complete(capture)) return ok();
  return incomplete_error(capture);
}

std::string predicate(const Capture& capture, const graph::Definition& definition, const ProvenanceOptions& options,
                      const ProvenanceRun& run) {
  Parts parts;
  parts.materials_complete = materials_complete(capture);
  parts.request = request_json(capture, options.mode);
  parts.request.parameters["compatibilityVersion"] =
      run.compatibility_version != 0 ? run.compatibility_version : kCurrentCompatibility;
  parts.materials = materials_json(capture);
  const std::string frontend = capture.request ? capture.request->frontend : "";
  parts.request_complete = !frontend.empty() && !parts.request.scrubbed;
  parts.hermetic = parts.materials_complete && !capture.network;
  if (capture.proxied) parts.metadata["network"] = network_json(capture);
  if (!parts.request.vcs.empty()) parts.metadata["vcs"] = parts.request.vcs;
  if (options.mode == ProvenanceMode::kMax) {
    Steps steps = steps_of(definition, options.capture_usage ? run.usage : std::map<std::string, std::string>());
    parts.build_config = build_config_json(steps);
    if (Json source = source_json(definition, steps); !source.is_null()) parts.metadata["source"] = std::move(source);
    if (Json layers = layers_json(run.layers, steps); !layers.empty()) parts.metadata["layers"] = std::move(layers);
  }
  if (options.capture_usage && !run.machine_usage_json.empty()) {
    parts.metadata["sysUsage"] = Json::parse(run.machine_usage_json, nullptr, false);
  }
  if (!run.environment_json.empty()) parts.environment = Json::parse(run.environment_json, nullptr, false);
  if (!parts.environment.is_object()) parts.environment = Json::object();
  if (frontend == "dockerfile.v0") parts.environment["dockerfileVersion"] = kDockerfileVersion;
  const Json out = options.version == SlsaVersion::kV1 ? predicate_v1(std::move(parts), options, run)
                                                       : predicate_v02(std::move(parts), options, run);
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> load_provenance_environment(const std::string& directory) {
  auto names = host::list_dir(directory);
  if (!names.ok()) return is_not_found(names.status()) ? Result<std::string>("") : names.status();
  Json all = Json::object();
  for (const std::string& name : *names) {
    if (!name.ends_with(".json")) continue;
    KILN_ASSIGN_OR_RETURN(std::string text, host::read_file(directory + "/" + name));
    const Json one = Json::parse(text, nullptr, false);
    if (!one.is_object()) {
      return user_error(Code::kInvalidArgument, fmt::format("'{}/{}' is no JSON object", directory, name));
    }
    all.update(one);
  }
  return all.empty() ? "" : all.dump();
}

}  // namespace kiln::daemon
