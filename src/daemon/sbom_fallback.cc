#include "daemon/sbom_fallback.h"

#include <algorithm>
#include <optional>

#include "base/reference.h"
#include "daemon/provenance.h"
#include "daemon/result_origin.h"
#include "frontend/sbom_scanner.h"

namespace kiln::daemon {
namespace {

using Opts = std::map<std::string, std::string>;

Result<std::optional<frontend::SbomScannerOptions>> scanner_options(const Opts& opts) {
  KILN_ASSIGN_OR_RETURN(auto settings, attestation_settings(opts, "sbom"));
  if (!settings) return std::nullopt;
  frontend::SbomScannerOptions out;
  out.image = frontend::kDefaultSbomScanner;
  if (auto generator = settings->extract("generator"); !generator.empty()) out.image = generator.mapped();
  if (out.image.empty()) return user_error(Code::kInvalidArgument, "sbom generator cannot be empty");
  auto ref = Reference::parse(out.image);
  if (!ref.ok()) return annotate(ref.status(), "failed to parse sbom generator " + out.image);
  out.image = ref->with_default_tag().str();
  out.parameters = std::move(*settings);
  if (auto mode = opts.find("image-resolve-mode"); mode != opts.end()) out.resolve_mode = mode->second;
  return out;
}

bool has_sbom(const frontend::SolveResult& result) {
  return std::any_of(result.attestations.begin(), result.attestations.end(), [](const auto& of_one) {
    return std::any_of(of_one.second.begin(), of_one.second.end(), [](const frontend::Attestation& attestation) {
      return attestation.predicate_type == frontend::kSpdxPredicate;
    });
  });
}

}  // namespace

Status check_sbom_request(const Opts& opts) { return scanner_options(opts).status(); }

Status add_missing_sboms(BuildBridge& bridge, const Opts& opts, const Platform& scanner_platform,
                         frontend::SolveResult& result, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto wanted, scanner_options(opts));
  if (!wanted || has_sbom(result)) return ok();
  std::map<std::string, frontend::RefPtr> refs = result.refs;
  if (!result.is_map()) refs[only_result_id(result.metadata)] = result.ref;
  wanted->platform = scanner_platform;
  KILN_ASSIGN_OR_RETURN(auto scanner, frontend::SbomScanner::make(bridge, *wanted, stop));
  auto no_cache = opts.find("no-cache");
  const bool ignore_cache = no_cache != opts.end() && no_cache->second.empty();
  for (const auto& [id, ref] : refs) {
    if (!ref) continue;
    KILN_ASSIGN_OR_RETURN(auto definition, ref->definition());
    KILN_ASSIGN_OR_RETURN(auto core, graph::build::from_definition(definition));
    KILN_ASSIGN_OR_RETURN(auto scan, graph::build::marshal(scanner.scan(id, core, {}, ignore_cache)));
    KILN_ASSIGN_OR_RETURN(auto solved, bridge.solve({.definition = std::move(scan)}, stop));
    result.attestations[id].push_back(frontend::SbomScanner::attestation(solved.ref));
  }
  return ok();
}

}  // namespace kiln::daemon
