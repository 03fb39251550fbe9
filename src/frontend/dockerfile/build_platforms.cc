// The build itself: every platform lowered, solved and described to the exporters.
#include <mutex>

#include <fmt/format.h>

#include "content/json_text.h"
#include "frontend/dockerfile/build_run.h"
#include "frontend/parallel.h"
#include "frontend/sbom_scanner.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

constexpr const char* kImageConfigKey = "containerimage.config";
constexpr const char* kBaseConfigKey = "containerimage.base.config";
constexpr const char* kEpochKey = "source.date.epoch";
constexpr const char* kPlatformsKey = "refs.platforms";

// What one platform came to.
struct Built {
  std::string id;
  Platform platform;  // as exporters name it
  RefPtr ref;
  std::string config;
  std::optional<std::string> base_config;
  std::optional<Time> epoch;
  graph::Definition scan;  // empty: no scan wanted
};

// A windows image says which release of windows it is for; others are what was asked for.
Platform exported_platform(Platform asked, const Platform& image) {
  asked = asked.normalized();
  if (asked.os != "windows" || image.os != asked.os) return asked;
  if (asked.os_version.empty()) asked.os_version = image.os_version;
  if (asked.os_features.empty()) asked.os_features = image.os_features;
  return asked.normalized();
}

Result<graph::Definition> scan_of(const SbomScanner& scanner, const Lowering& lowering, StageState* target,
                                  const std::string& id) {
  std::map<std::string, gb::State> extras;
  bool ignore_cache = target->ignore_cache;
  if (target->scan_context) extras["context"] = lowering.build_context();
  for (StageState* stage : lowering.reachable(target)) {
    if (stage == target || !stage->scan_stage) continue;
    extras[stage->name] = stage->state;
    ignore_cache |= stage->ignore_cache;
  }
  return gb::marshal(scanner.scan(id, target->state, extras, ignore_cache));
}

Result<Built> build_platform(BuildRun& run, const std::optional<Platform>& platform, bool first,
                             const SbomScanner* scanner, std::stop_token stop) {
  // Findings are the same for every platform; one telling is enough.
  Lowering lowering(run.lower_options(platform, first ? run.warn_client() : nullptr));
  KILN_ASSIGN_OR_RETURN(StageState * target, lowering.run(stop));
  auto definition = gb::marshal(target->state, lowering.marshal_options());
  if (!definition.ok()) return annotate(definition.status(), "failed to marshal LLB definition");
  Built out;
  const Platform asked = platform ? *platform : Platform::host();
  out.id = asked.normalized().str_full();
  out.platform = exported_platform(asked, target->image.platform);
  out.config = content::to_json(target->image);
  if (target->base_image) out.base_config = content::to_json(*target->base_image);
  out.epoch = lowering.epoch();
  if (scanner != nullptr) {
    KILN_ASSIGN_OR_RETURN(out.scan, scan_of(*scanner, lowering, target, out.id));
  }
  KILN_ASSIGN_OR_RETURN(
      auto solved,
      run.bridge.solve({.definition = *std::move(definition), .cache_imports = run.request.cache_imports}, stop));
  out.ref = std::move(solved.ref);
  return out;
}

void add_result(SolveResult& result, Built& built, bool map) {
  const std::string suffix = map ? "/" + built.id : "";
  if (map) {
    result.refs[built.id] = built.ref;
  } else {
    result.ref = built.ref;
  }
  result.metadata[kImageConfigKey + suffix] = built.config;
  if (built.base_config) result.metadata[kBaseConfigKey + suffix] = *built.base_config;
  if (built.epoch) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(built.epoch->time_since_epoch()).count();
    result.metadata[kEpochKey + suffix] = std::to_string(seconds);
  }
}

std::string platforms_json(const std::vector<Built>& all) {
  content::JsonWriter json;
  json.begin_object();
  json.key("Platforms");
  json.begin_array();
  for (const auto& built : all) {
    json.begin_object();
    json.key("ID");
    json.string(built.id);
    json.key("Platform");
    json.begin_object();
    json.key("architecture");
    json.string(built.platform.architecture);
    json.key("os");
    json.string(built.platform.os);
    json.string_if("os.version", built.platform.os_version);
    json.strings_if("os.features", built.platform.os_features);
    json.string_if("variant", built.platform.variant);
    json.end_object();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.take();
}

Status add_scan(BuildRun& run, SolveResult& result, const Built& built, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto solved, run.bridge.solve({.definition = built.scan}, stop));
  result.attestations[built.id].push_back(SbomScanner::attestation(solved.ref));
  return ok();
}

}  // namespace

Result<SolveResult> build_platforms(BuildRun& run, std::stop_token stop) {
  std::optional<SbomScanner> scanner;
  if (run.request.sbom) {
    KILN_ASSIGN_OR_RETURN(scanner, SbomScanner::make(run.bridge,
                                                     {.image = run.request.sbom->generator,
                                                      .parameters = run.request.sbom->parameters,
                                                      .platform = run.request.build_platforms.front(),
                                                      .resolve_mode = run.request.opt("image-resolve-mode")},
                                                     stop));
  }
  std::vector<std::optional<Platform>> targets(run.request.target_platforms.begin(),
                                               run.request.target_platforms.end());
  if (targets.empty()) targets.emplace_back();
  std::vector<Built> built(targets.size());
  std::vector<std::function<Status(std::stop_token)>> jobs;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    jobs.push_back([&, i](std::stop_token token) -> Status {
      KILN_ASSIGN_OR_RETURN(built[i], build_platform(run, targets[i], i == 0, scanner ? &*scanner : nullptr, token));
      return ok();
    });
  }
  KILN_RETURN_IF_ERROR(run_all(jobs, stop));
  SolveResult result;
  for (auto& one : built) {
    add_result(result, one, run.request.multi_platform);
    if (scanner) KILN_RETURN_IF_ERROR(add_scan(run, result, one, stop));
  }
  result.metadata[kPlatformsKey] = platforms_json(built);
  return result;
}

}  // namespace kiln::frontend::dockerfile
