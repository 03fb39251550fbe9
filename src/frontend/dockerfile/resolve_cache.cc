#include "frontend/dockerfile/resolve_cache.h"

#include <fmt/format.h>

namespace kiln::frontend::dockerfile {

Result<ImageConfig> ResolveCache::resolve_image_config(const std::string& ref, const ResolveOptions& options,
                                                       std::stop_token stop) {
  const std::string store = options.oci_store ? options.oci_store->session_id + "/" + options.oci_store->store_id : "";
  const std::string key = fmt::format("{}\n{}\n{}\n{}\n{}", ref, options.platform ? options.platform->str_full() : "",
                                      options.resolve_mode, store, options.log_name);
  std::shared_ptr<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    auto& slot = entries_[key];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::lock_guard lock(entry->asking);
  if (!entry->answer) entry->answer = bridge_.resolve_image_config(ref, options, stop);
  return *entry->answer;
}

}  // namespace kiln::frontend::dockerfile
