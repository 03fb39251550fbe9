#include "frontend/sbom_scanner.h"

#include <fmt/format.h>

#include "base/text.h"
#include "graph/build/exec.h"
#include "graph/build/file.h"
#include "graph/build/sources.h"

namespace kiln::frontend {

namespace gb = graph::build;

namespace {

constexpr const char* kOut = "/run/out/";
constexpr const char* kCore = "/run/src/core/sbom";
constexpr const char* kExtras = "/run/src/extras";

}  // namespace

Result<SbomScanner> SbomScanner::make(Bridge& bridge, const SbomScannerOptions& options, std::stop_token stop) {
  SbomScanner out;
  out.platform_ = options.platform;
  out.parameters_ = options.parameters;
  auto found = bridge.resolve_image_config(options.image,
                                           {.platform = out.platform_, .resolve_mode = options.resolve_mode}, stop);
  if (!found.ok()) return annotate(found.status(), "failed to resolve source metadata for " + options.image);
  out.image_ = found->ref.empty() ? options.image : found->ref;
  KILN_ASSIGN_OR_RETURN(out.config_, content::parse_image_config(found->config));
  if (out.config_.config.entrypoint.empty() && out.config_.config.cmd.empty()) {
    return user_error(Code::kInvalidArgument, fmt::format("scanner {} does not have cmd", out.image_));
  }
  return out;
}

gb::State SbomScanner::scan(const std::string& name, const gb::State& core,
                            const std::map<std::string, gb::State>& extras, bool ignore_cache) const {
  gb::State scanner = gb::image(image_, {}, gb::Constraints().on(platform_));
  gb::RunSpec spec;
  spec.args = config_.config.entrypoint;
  spec.args.insert(spec.args.end(), config_.config.cmd.begin(), config_.config.cmd.end());
  gb::State settings = scanner.with_dir(config_.config.working_dir);
  auto add_env = [&settings](std::string_view key, std::string_view value) {
    settings = settings.with_env(key, value);
  };
  for (const auto& entry : config_.config.env) {
    auto [key, value] = split_once(entry, '=');
    add_env(key, value);
  }
  add_env("BUILDKIT_SCAN_DESTINATION", kOut);
  add_env("BUILDKIT_SCAN_SOURCE", kCore);
  if (!extras.empty()) add_env("BUILDKIT_SCAN_SOURCE_EXTRAS", kExtras);
  for (const auto& [key, value] : parameters_) add_env("BUILDKIT_SCAN_" + key, value);
  spec.settings = settings.settings();
  if (platform_.os == "windows") {
    gb::FileSteps steps;
    steps.mkdir("/tmp", 0777, {.make_parents = true});
    spec.mounts.push_back(
        {.target = "/tmp", .source = gb::file(scanner, steps), .selector = "/tmp", .no_output = true});
  } else {
    spec.mounts.push_back({.target = "/tmp", .tmpfs_bytes = 0});
  }
  spec.mounts.push_back({.target = kCore, .source = core, .readonly = true});
  for (const auto& [key, extra] : extras) {
    spec.mounts.push_back({.target = std::string(kExtras) + "/sbom-" + key, .source = extra, .readonly = true});
  }
  spec.mounts.push_back({.target = kOut});
  auto constraints =
      gb::Constraints().name(fmt::format("[{}] generating sbom using {}", name, image_)).ignore_cache(ignore_cache);
  auto result = gb::run_with_mounts(scanner, spec, constraints);
  for (const auto& [target, state] : result.mounts) {
    if (target == kOut) return state;
  }
  return gb::scratch();
}

Attestation SbomScanner::attestation(RefPtr scan) {
  Attestation out;
  out.kind = AttestationKind::kBundle;
  out.ref = std::move(scan);
  out.metadata = {{"reason", "sbom"}, {"sbom-core", "sbom"}};
  out.predicate_type = kSpdxPredicate;
  return out;
}

}  // namespace kiln::frontend
