// What the exporter changes in the config that a frontend gave: layers and history brought into
// agreement, times clamped, the inline cache put in (EX-026).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "content/image_config.h"
#include "store/tree.h"

namespace kiln::exporter::internal {

// As many entries that are not "empty" as there are layers, each with a time: missing ones are made
// from the layers' records, superfluous ones become empty.
std::vector<content::HistoryEntry> reconcile_history(std::vector<content::HistoryEntry> history,
                                                     const std::vector<store::LayerBlob>& layers);

struct ConfigPatch {
  std::vector<Digest> diff_ids;
  std::vector<content::HistoryEntry> history;
  std::optional<Time> epoch;                   // later times become this, but those of the base image
  const content::ImageConfig* base = nullptr;  // of the base image, may be null
  std::string inline_cache;                    // raw bytes; empty for none
};

// FailedPrecondition when the config is no image config or lacks os or architecture.
Result<std::string> patch_config(const std::string& config, ConfigPatch patch);

// The config of a result that has none: this machine's platform, PATH and "/".
std::string default_config();

}  // namespace kiln::exporter::internal
