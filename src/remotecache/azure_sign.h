// Shared Key authorization of Azure's blob service.
//
//   KILN_RETURN_IF_ERROR(sign_azure(request, {"account", key_base64}, now));
//
// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
#pragma once

#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "registry/http.h"

namespace kiln::remotecache {

struct AzureKey {
  std::string account;
  std::string key_base64;
};

// The version of the service's protocol that we speak (header x-ms-version).
inline constexpr const char* kAzureVersion = "2021-12-02";

// What is signed. `account` is the storage account's name; the request bears its x-ms-* headers already;
// `body_bytes` is the length of its body.
Result<std::string> azure_string_to_sign(const registry::Request& request, const std::string& account,
                                         std::uint64_t body_bytes);

// Adds x-ms-date and Authorization. InvalidArgument when the key is no base64.
Status sign_azure(registry::Request& request, const AzureKey& key, Time now);

// "Sat, 28 Nov 2026 00:00:00 GMT"
std::string http_date(Time time);

}  // namespace kiln::remotecache
