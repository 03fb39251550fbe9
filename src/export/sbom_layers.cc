#include "export/internal/sbom_layers.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/gopath.h"
#include "base/version.h"
#include "export/internal/attestation.h"
#include "layer/compression.h"
#include "layer/read_ahead.h"
#include "layer/tar_reader.h"

namespace kiln::exporter::internal {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSpdx = "https://spdx.dev/Document";

std::string rooted(std::string_view path) { return clean_path(fmt::format("/{}", path)); }

std::string_view last_part(std::string_view path) {
  auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool is_core_spdx(const Attestation& a) {
  auto core = a.metadata.find("sbom-core");
  if (a.kind != AttestationKind::kInToto || a.predicate_type != kSpdx || core == a.metadata.end()) return false;
  std::string_view name = last_part(a.path);
  return name.substr(0, name.find('.')) == core->second;
}

// Strikes off the wanted what the layer holds and notes whose it is.
Status look_into(const store::LayerBlob& layer, ResultBlobs& blobs, std::set<std::string>& wanted,
                 std::map<std::string, Digest>& found, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto packed, blobs.open(layer.blob, 0, stop));
  KILN_ASSIGN_OR_RETURN(auto opened, layer::decompress(std::move(packed)));
  auto plain = layer::read_ahead(std::move(opened));
  layer::TarReader reader(*plain);
  while (!wanted.empty()) {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(const layer::TarEntry* entry, reader.next());
    if (!entry) break;
    std::string path = rooted(entry->name);
    if (last_part(path).starts_with(layer::kWhiteoutPrefix)) continue;
    if (wanted.erase(path) > 0) found[path] = layer.blob.digest;
  }
  return ok();
}

bool lacks_comment(const Json& file) {
  if (!file.is_object() || !file.contains("fileName") || !file["fileName"].is_string()) return false;
  return !file.contains("comment") || file["comment"] == "";
}

}  // namespace

Result<Attestation> with_layer_ids(const Attestation& attestation, const std::vector<store::LayerBlob>& layers,
                                   ResultBlobs& blobs, store::Trees& trees, std::stop_token stop) {
  if (!is_core_spdx(attestation) || layers.empty()) return attestation;
  KILN_ASSIGN_OR_RETURN(std::string text, read_attestation(attestation, trees, stop));
  Json document = Json::parse(text, nullptr, false);
  if (!document.is_object()) return attestation;
  std::set<std::string> wanted;
  if (document.contains("files") && document["files"].is_array()) {
    for (const Json& file : document["files"]) {
      if (lacks_comment(file)) wanted.insert(rooted(file["fileName"].get<std::string>()));
    }
  }
  std::map<std::string, Digest> found;
  for (auto it = layers.rbegin(); it != layers.rend() && !wanted.empty(); ++it) {
    KILN_RETURN_IF_ERROR(look_into(*it, blobs, wanted, found, stop));
  }
  for (std::size_t i = 0; document.contains("files") && document["files"].is_array() && i < document["files"].size();
       ++i) {
    Json& file = document["files"][i];
    if (!lacks_comment(file)) continue;
    auto layer = found.find(rooted(file["fileName"].get<std::string>()));
    if (layer != found.end()) file["comment"] = fmt::format("layerID: {}", layer->second.str());
  }
  Json& creation = document["creationInfo"];
  if (!creation.is_object()) creation = Json::object();
  if (!creation["creators"].is_array()) creation["creators"] = Json::array();
  creation["creators"].push_back(fmt::format("Tool: kiln-{}", kVersion));
  Attestation out = attestation;
  out.tree = nullptr;
  out.data = document.dump(-1, ' ', false, Json::error_handler_t::replace);
  return out;
}

}  // namespace kiln::exporter::internal
