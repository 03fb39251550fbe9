#include "sandbox/proxy/address.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/gopath.h"
#include "base/text.h"

namespace kiln::sandbox::proxy {
namespace {

bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 127; });
}

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

std::uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

}  // namespace

std::optional<std::pair<std::string, std::uint16_t>> parse_authority(std::string_view text,
                                                                     std::uint16_t default_port) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return std::nullopt;
  } else if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (host.empty() || !is_plain(host)) return std::nullopt;
  if (port.size() <= 1) return std::pair(std::string(host), default_port);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0) return std::nullopt;
  return std::pair(std::string(host), number);
}

std::optional<Address> Address::parse(std::string_view text) {
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos || !is_plain(text)) return std::nullopt;
  Address out{.scheme = to_lower(text.substr(0, colon))};
  if (out.scheme != "http" && out.scheme != "https") return std::nullopt;
  text.remove_prefix(colon + 3);
  text = text.substr(0, text.find('#'));
  const std::size_t end = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, end);
  out.target = text.substr(end);
  if (!out.target.starts_with('/')) out.target.insert(0, 1, '/');
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    out.user = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  const auto parsed = parse_authority(authority, default_port(out.scheme));
  if (!parsed) return std::nullopt;
  std::tie(out.host, out.port) = *parsed;
  out.port_given = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0) != std::string_view::npos;
  return out;
}

std::optional<Address> Address::resolve(std::string_view location) const {
  if (location.find("://") != std::string_view::npos) return parse(location);
  if (location.starts_with("//")) return parse(scheme + ":" + std::string(location));
  if (location.empty() || !is_plain(location)) return std::nullopt;
  Address out = *this;
  location = location.substr(0, location.find('#'));
  const std::string_view path = std::string_view(target).substr(0, target.find('?'));
  if (location.starts_with('/')) {
    out.target = location;
  } else if (location.starts_with('?')) {
    out.target = std::string(path) + std::string(location);
  } else {
    const std::size_t question = std::min(location.find('?'), location.size());
    std::string joined =
        clean_path(std::string(path.substr(0, path.rfind('/') + 1)) + std::string(location.substr(0, question)));
    if (location.substr(0, question).ends_with('/') && !joined.ends_with('/')) joined += '/';
    out.target = joined + std::string(location.substr(question));
  }
  return out;
}

std::string Address::authority() const {
  return port_given ? fmt::format("{}:{}", bracketed(host), port) : bracketed(host);
}

std::string Address::shown() const {
  std::string hidden;
  if (!user.empty()) hidden = user.find(':') == std::string::npos ? "xxxxx@" : "xxxxx:xxxxx@";
  const std::string where =
      port == default_port(scheme) ? bracketed(host) : fmt::format("{}:{}", bracketed(host), port);
  return fmt::format("{}://{}{}{}", scheme, hidden, where, target);
}

}  // namespace kiln::sandbox::proxy
