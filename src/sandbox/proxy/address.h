// Absolute http and https addresses as a proxy meets them.
//
//   std::optional<Address> to = Address::parse("https://example.com:8443/a?b");
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::sandbox::proxy {

struct Address {
  std::string scheme;  // "http", "https"
  std::string user;    // "name:password", as written; usually empty
  std::string host;    // without brackets
  std::uint16_t port = 0;
  bool port_given = false;
  std::string target = "/";  // path and query; the fragment is dropped

  // Nothing for other schemes, relative addresses, bad ports or control characters.
  static std::optional<Address> parse(std::string_view text);
  // What Location means on a page at this address.
  std::optional<Address> resolve(std::string_view location) const;

  std::string authority() const;  // "example.com:8443", the port as it was given
  // As records show it: without a port that goes without saying, credentials as "xxxxx".
  std::string shown() const;
  bool same_server(const Address& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

// "host", "host:port", "[::1]:port"; the default port when none is given. Nothing for what is neither.
std::optional<std::pair<std::string, std::uint16_t>> parse_authority(std::string_view text, std::uint16_t default_port);

}  // namespace kiln::sandbox::proxy
