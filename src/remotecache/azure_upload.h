// One blob into Azure's blob service: in one request, or as blocks when it is large. Also how the cache
// of GitHub Actions takes its blobs (version 2), by a URL that carries its own signature.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "base/stream.h"
#include "remotecache/http_call.h"

namespace kiln::remotecache {

enum class Overwrite { kNo, kYes };

struct AzureUpload {
  std::string url;  // of the blob, with its query if it has one
  std::function<Result<std::unique_ptr<ByteSource>>(std::uint64_t offset)> open;
  std::uint64_t size = 0;
  Overwrite overwrite = Overwrite::kYes;
  std::function<Status(registry::Request&)> sign;  // may be empty
};

// A blob that is there already is fine when it may not be overwritten. Blocking, cancellable.
Status upload_azure_blob(const HttpCaller& http, const AzureUpload& upload, std::stop_token stop);

// The URL with one more query parameter, already encoded.
std::string with_query(const std::string& url, std::string_view parameter);

}  // namespace kiln::remotecache
