// The pieces that both versions of a provenance predicate are put together from, as JSON. Private to
// the daemon's provenance files.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/provenance.h"

namespace kiln::daemon {

// User name and password of a URL as "xxxxx"; what is no URL stays.
std::string redacted_url(const std::string& url);

// {"sha256": "…"} of "sha256:…", and of a git commit.
nlohmann::json digest_set(const std::string& digest);
nlohmann::json commit_set(const std::string& commit);
// [{"uri": …, "digest": …}]: images, blobs, git (with their bundles), http.
nlohmann::json materials_json(const Capture& capture);

// The request as external parameters: {"configSource": …, "request": …} with the requests behind its
// inputs, and what it said of version control.
struct RequestJson {
  nlohmann::json config_source = nlohmann::json::object();
  nlohmann::json parameters = nlohmann::json::object();
  nlohmann::json vcs = nlohmann::json::object();
  bool scrubbed = false;  // mode min has left something out
};
RequestJson request_json(const Capture& capture, ProvenanceMode mode);

// The ops of a definition, inputs first, in the order of a walk from the result.
struct Steps {
  nlohmann::json list = nlohmann::json::array();
  std::map<std::string, std::string> ids;  // digest → "step3"
};
// `usage`: JSON of what steps used, by digest.
Steps steps_of(const graph::Definition& definition, const std::map<std::string, std::string>& usage);
// {"llbDefinition": …, "digestMapping": …}; takes the list out of the steps.
nlohmann::json build_config_json(Steps& steps);
// {"infos": …, "locations": …}; null when the definition has no texts.
nlohmann::json source_json(const graph::Definition& definition, const Steps& steps);
// {"step0:0": [[descriptor, …], …]}
nlohmann::json layers_json(const std::map<StepOutput, LayerChains>& layers, const Steps& steps);

}  // namespace kiln::daemon
