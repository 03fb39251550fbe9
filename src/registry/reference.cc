#include "registry/reference.h"

#include <algorithm>

#include "base/text.h"

namespace kiln::registry {

bool is_loopback_host(std::string_view host) {
  if (host.starts_with('[')) {
    auto close = host.find(']');
    return close != std::string_view::npos && host.substr(1, close - 1) == "::1";
  }
  if (host == "::1") return true;
  std::string_view bare = split_once(host, ':').first;
  if (bare == "localhost") return true;
  auto parts = split(bare, '.');
  return parts.size() == 4 && parts[0] == "127" && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           return !part.empty() && part.size() <= 3 &&
                  std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
         });
}

std::string api_host(std::string_view domain) {
  return domain == "docker.io" ? "registry-1.docker.io" : std::string(domain);
}

}  // namespace kiln::registry
