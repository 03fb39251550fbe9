// The cache service of GitHub Actions, both versions of its protocol. Keys are written once and never
// change; a lookup finds the newest key that begins with what is asked for.
//
//   GhaClient cache(options, services);
//   KILN_ASSIGN_OR_RETURN(auto entry, cache.load("buildkit-blob-1-sha256:…", stop));
//   KILN_RETURN_IF_ERROR(cache.save(key, {open, size}, stop));
//
// Version 1: /_apis/artifactcache/; version 2: twirp github.actions.results.api.v1.CacheService, with blobs
// in Azure by signed URLs. Both as actions/toolkit speaks them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/stream.h"
#include "remotecache/gha_token.h"
#include "remotecache/http_call.h"
#include "remotecache/object_store.h"

namespace kiln::remotecache {

struct GhaOptions {
  std::string scope = "buildkit";
  std::string url;
  std::string token;
  int version = 1;
  Duration timeout = std::chrono::minutes(10);
  std::string repository;  // with `github_token`: keys are listed at once instead of asked for one by one
  std::string github_token;

  // InvalidArgument names what is wrong.
  static Result<GhaOptions> read(const Attrs& attrs);
};

struct GhaEntry {
  std::string key;  // whole, where only its beginning was asked for
  std::string url;
};

struct GhaBlob {
  std::function<Result<std::unique_ptr<ByteSource>>(std::uint64_t offset)> open;
  std::uint64_t size = 0;
};
GhaBlob gha_blob(std::string text);

// Any thread; every call blocks and is cancelled by its stop.
class GhaClient {
 public:
  GhaClient(GhaOptions options, StoreServices services);

  Result<std::optional<GhaEntry>> load(const std::string& key, std::stop_token stop) const;
  // NotFound when nothing begins with the key.
  Result<std::unique_ptr<ByteSource>> read(const std::string& key, std::uint64_t offset, std::stop_token stop) const;
  // AlreadyExists when the key is taken.
  Status save(const std::string& key, const GhaBlob& blob, std::stop_token stop) const;
  // Under "<key>#<n>", n above the newest: the value of `key` from now on. Waits up to 15 s for another's
  // save of the same key that is under way.
  Status save_mutable(const std::string& key, const GhaBlob& blob, std::stop_token stop) const;
  // The keys in the scopes that begin with `prefix`, from GitHub's REST service.
  Result<std::set<std::string>> keys(const std::string& prefix, const std::vector<GhaScope>& scopes,
                                     std::stop_token stop) const;

 private:
  struct Place {
    std::string id;   // version 1
    std::string url;  // version 2
  };
  Result<Place> reserve(const std::string& key, std::stop_token stop) const;
  Status upload(const Place& place, const GhaBlob& blob, std::stop_token stop) const;
  Status commit(const std::string& key, const Place& place, std::uint64_t size, std::stop_token stop) const;
  Result<int> newest_number(const std::string& key, std::stop_token stop) const;

  HttpCall call_to(std::string method, const std::string& path) const;
  Result<HttpAnswer> ask(std::string method, const std::string& path, std::string body, std::stop_token stop) const;

  const GhaOptions options_;
  const StoreServices services_;
  HttpCaller http_;       // GitHub's: only 429 is tried again
  HttpCaller transfers_;  // of the bytes
};

}  // namespace kiln::remotecache
