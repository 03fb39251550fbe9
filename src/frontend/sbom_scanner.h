// The scanner of software bills: an image that is run over a result and leaves in-toto statements. Used
// by dockerfile.v0 for its own builds, and by the daemon for frontends that know nothing of scanners.
//
//   KILN_ASSIGN_OR_RETURN(auto scanner, SbomScanner::make(bridge, {.image = "scanner:1", .platform = host}, stop));
//   auto state = scanner.scan("linux/amd64", rootfs, {}, false);        // solve it, then
//   attestation = SbomScanner::attestation(ref);                        // a bundle of SPDX statements
//
// Protocol: the sources lie read-only below /run/src, the scanner writes *.spdx.json to
// $BUILDKIT_SCAN_DESTINATION; see docs/attestations.md.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "base/platform.h"
#include "content/image_config.h"
#include "frontend/bridge.h"
#include "graph/build/state.h"

namespace kiln::frontend {

inline constexpr const char* kDefaultSbomScanner = "docker/buildkit-syft-scanner:stable-1";
inline constexpr const char* kSpdxPredicate = "https://spdx.dev/Document";

struct SbomScannerOptions {
  std::string image;
  std::map<std::string, std::string> parameters;  // given to the scanner as BUILDKIT_SCAN_<key>
  Platform platform;
  std::string resolve_mode;
};

// Immutable; any thread.
class SbomScanner {
 public:
  // Looks the scanner's image up. Blocks. InvalidArgument when the image says no command.
  static Result<SbomScanner> make(Bridge& bridge, const SbomScannerOptions& options, std::stop_token stop);

  // The graph that scans `core` and `extras`; `name` is the platform's id.
  graph::build::State scan(const std::string& name, const graph::build::State& core,
                           const std::map<std::string, graph::build::State>& extras, bool ignore_cache) const;

  // What a solved scan is to the result.
  static Attestation attestation(RefPtr scan);

 private:
  std::string image_;
  Platform platform_;
  content::ImageConfig config_;
  std::map<std::string, std::string> parameters_;
};

}  // namespace kiln::frontend
