// The writing half of the client. Private.
#pragma once

#include "registry/exchange.h"

namespace kiln::registry {

struct BlobToPush {
  const content::Descriptor& descriptor;
  const BlobOpener& open;
  const std::vector<std::string>& mount_from;
  const Progress& progress;
  PushSeries& series;
};
Result<Pushed> push_blob(Exchange& exchange, const Reference& ref, const BlobToPush& blob, const Access& access);
Status push_manifest(Exchange& exchange, const Reference& ref, const content::Descriptor& descriptor,
                     std::string_view bytes, const Access& access);

}  // namespace kiln::registry
