// Where a reference's registry answers: mirrors first, then the origin, each with its scheme and
// its trust, made from [registry."host"]. Private to the room's client.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "registry/client.h"

namespace kiln::registry {

struct Endpoint {
  std::string scheme = "https";
  std::string host;          // host[:port], as asked for over the wire and for credentials
  std::string path = "/v2";  // of the API
  Tls tls;
  bool fall_back_to_plain = false;
  bool mirror = false;
  std::string ns;  // domain of the reference when a mirror has to be told, else empty

  // scheme://host/path/<rest>[?ns=…]
  std::string url(std::string_view rest) const;
};

// Any thread.
class Hosts {
 public:
  explicit Hosts(const std::map<std::string, HostConfig>& config) : config_(config) {}

  // In the order to ask. Errors: an unreadable tls_config_dir.
  Result<std::vector<Endpoint>> for_pull(const Reference& ref, bool insecure);
  Result<Endpoint> for_push(const Reference& ref, bool insecure);

  // A host that answered plain text over TLS is asked over plain HTTP from then on.
  void remember_plain(const std::string& host);

 private:
  Result<Endpoint> endpoint(const std::string& domain, const std::string& host, bool insecure);
  Result<Tls> tls_for(const HostConfig& config) const;

  const std::map<std::string, HostConfig>& config_;
  std::mutex mutex_;
  std::set<std::string> plain_;
};

}  // namespace kiln::registry
