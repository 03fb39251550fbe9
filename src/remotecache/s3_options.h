// The attributes of type=s3, with their defaults (BuildKit's).
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "remotecache/object_store.h"

namespace kiln::remotecache {

struct S3Options {
  std::string bucket;
  std::string region;
  std::string prefix;
  std::string manifests_prefix = "manifests/";
  std::string blobs_prefix = "blobs/";
  std::vector<std::string> names = {"buildkit"};
  Duration touch_refresh = std::chrono::hours(24);
  std::string endpoint_url;  // "" = Amazon's own
  bool use_path_style = false;
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;
  int upload_parallelism = 4;
  int attempts_max = 3;

  // InvalidArgument names the attribute.
  static Result<S3Options> read(const Attrs& attrs, const StoreServices& services);
};

// "a;b" → {"a", "b"}; `fallback` when the attribute is absent.
std::vector<std::string> names_attribute(const Attrs& attrs, const std::string& fallback);

}  // namespace kiln::remotecache
