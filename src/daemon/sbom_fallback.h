// Software bills for frontends that know nothing of scanners: what was asked for and is not there is
// scanned by the daemon once the results are solved.
#pragma once

#include <map>
#include <stop_token>
#include <string>

#include "daemon/build_bridge.h"

namespace kiln::daemon {

// Reads "attest:sbom" among the request's options; refuses a scanner's name that is none.
Status check_sbom_request(const std::map<std::string, std::string>& opts);

// Adds a scan to each result when the request asks for bills and no attestation is one already. Blocks:
// looks the scanner up and makes its graph; the scan itself runs with what is solved next.
Status add_missing_sboms(BuildBridge& bridge, const std::map<std::string, std::string>& opts,
                         const Platform& scanner_platform, frontend::SolveResult& result, std::stop_token stop);

}  // namespace kiln::daemon
