#include "export/internal/image_config_patch.h"

#include "base/base64.h"
#include "base/json_text.h"
#include "base/log.h"
#include "content/json_text.h"

namespace kiln::exporter::internal {
namespace {

using content::HistoryEntry;

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::size_t count_layers(const std::vector<HistoryEntry>& history) {
  std::size_t count = 0;
  for (const auto& entry : history) count += entry.empty_layer ? 0 : 1;
  return count;
}

void add_missing(std::vector<HistoryEntry>& history, const std::vector<store::LayerBlob>& layers) {
  for (std::size_t i = count_layers(history); i < layers.size(); ++i) {
    HistoryEntry entry;
    entry.created = layers[i].created;
    entry.created_by = layers[i].description.empty() ? "created by buildkit" : layers[i].description;
    entry.comment = "buildkit.exporter.image.v0";
    history.push_back(std::move(entry));
  }
}

// Commands without a layer take the time of the first new layer after them, or of the one before.
void fill_times(std::vector<HistoryEntry>& history) {
  std::optional<Time> created;
  bool gap = false;
  for (const auto& entry : history) {
    if (entry.created) {
      created = entry.created;
      if (gap) break;
    } else {
      gap = true;
    }
  }
  gap = false;
  for (auto& entry : history) {
    if (!entry.created) {
      gap = true;
      entry.created = created;
    } else if (gap) {
      created = entry.created;
    }
  }
}

void clamp_times(std::vector<HistoryEntry>& history, Time epoch, const content::ImageConfig* base) {
  bool of_base = base != nullptr;
  for (std::size_t i = 0; i < history.size(); ++i) {
    of_base = of_base && i < base->history.size() && history[i] == base->history[i];
    if (of_base) continue;
    if (!history[i].created || *history[i].created > epoch) history[i].created = epoch;
  }
}

std::string time_json(const std::optional<Time>& time) { return time ? json_string(format_rfc3339(*time)) : "null"; }

}  // namespace

std::vector<HistoryEntry> reconcile_history(std::vector<HistoryEntry> history,
                                            const std::vector<store::LayerBlob>& layers) {
  if (count_layers(history) > layers.size()) {
    log_warn("image config counts {} layers, the result has {}", count_layers(history), layers.size());
    std::size_t used = 0;
    for (auto& entry : history) {
      if (used >= layers.size()) entry.empty_layer = true;
      if (!entry.empty_layer) ++used;
    }
  }
  add_missing(history, layers);
  std::size_t layer = 0;
  for (auto& entry : history) {
    if (entry.empty_layer) continue;
    if (!entry.created && layer < layers.size()) entry.created = layers[layer].created;
    ++layer;
  }
  fill_times(history);
  return history;
}

Result<std::string> patch_config(const std::string& config, ConfigPatch patch) {
  KILN_ASSIGN_OR_RETURN(auto image, content::parse_image_config(config));
  KILN_ASSIGN_OR_RETURN(auto document, content::ConfigDocument::parse(config));
  if (image.platform.os.empty()) {
    return user_error(Code::kFailedPrecondition, "invalid image config for export: missing os");
  }
  if (image.platform.architecture.empty()) {
    return user_error(Code::kFailedPrecondition, "invalid image config for export: missing architecture");
  }
  document.set("rootfs", content::rootfs_json(patch.diff_ids));
  if (patch.epoch) clamp_times(patch.history, *patch.epoch, patch.base);
  document.set("history", content::to_json(patch.history));
  if (!document.find("created")) {
    std::optional<Time> last;
    for (const auto& entry : patch.history) {
      if (entry.created) last = entry.created;
    }
    document.set("created", time_json(last));
  } else if (patch.epoch && image.created && *image.created > *patch.epoch) {
    document.set("created", time_json(patch.epoch));
  }
  if (!patch.inline_cache.empty()) {
    document.set("moby.buildkit.cache.v0", json_string(base64_encode(patch.inline_cache)));
  }
  return document.to_json();
}

std::string default_config() {
  content::ImageConfig image;
  image.platform = Platform::host().normalized();
  image.config.working_dir = "/";
  if (image.platform.os != "windows") image.config.env = {kPath};
  return content::to_json(image);
}

}  // namespace kiln::exporter::internal
