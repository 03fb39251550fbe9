// The reading half of the client: names to descriptors, descriptors to verified bytes. Private.
#pragma once

#include "registry/exchange.h"

namespace kiln::registry {

Result<Resolved> resolve(Exchange& exchange, const Reference& ref, const Access& access);
Result<std::string> fetch_manifest(Exchange& exchange, const Reference& ref, const content::Descriptor& descriptor,
                                   const Access& access);
Result<std::unique_ptr<ByteSource>> open_blob(Exchange& exchange, const Reference& ref,
                                              const content::Descriptor& descriptor, std::uint64_t offset,
                                              const Access& access, Verify verify);
Result<std::optional<std::int64_t>> stat_blob(Exchange& exchange, Endpoint& at, const Reference& ref,
                                              const Digest& digest, const Scopes& scopes, const Access& access);

// The digest of the manifest that the reference names for whoever may push there. One question; NotFound
// also where the answer does not tell.
Result<Digest> stat_manifest(Exchange& exchange, Endpoint& at, const Reference& ref, const Access& access);

Scopes pull_scope(const Reference& ref);
Scopes push_scope(const Reference& ref);

}  // namespace kiln::registry
