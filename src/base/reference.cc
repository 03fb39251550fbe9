#include "base/reference.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace kiln {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kOfficialPrefix = "library/";
constexpr std::size_t kPathMax = 255;
constexpr std::size_t kTagMax = 128;

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool alnum(char c) { return lower_alnum(c) || (c >= 'A' && c <= 'Z'); }
bool xdigit(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

Status bad(std::string_view message) { return user_error(Code::kInvalidArgument, message); }
Status bad_format() { return bad("invalid reference format"); }

bool valid_host(std::string_view host) {
  if (host.starts_with('[')) {
    return host.size() > 2 && host.ends_with(']') &&
           std::all_of(host.begin() + 1, host.end() - 1, [](char c) { return xdigit(c) || c == ':'; });
  }
  for (std::string_view label : split(host, '.')) {
    if (label.empty() || !alnum(label.front()) || !alnum(label.back())) return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return alnum(c) || c == '-'; })) return false;
  }
  return true;
}

bool valid_domain(std::string_view domain) {
  std::size_t colon = domain.rfind(':');
  if (colon != std::string_view::npos && domain.find(']', colon) == std::string_view::npos) {
    std::string_view port = domain.substr(colon + 1);
    if (port.empty() || !std::all_of(port.begin(), port.end(), digit)) return false;
    domain = domain.substr(0, colon);
  }
  return valid_host(domain);
}

// Alphanumeric runs joined by one of: ".", "_", "__", any number of "-".
bool valid_path_component(std::string_view part) {
  std::size_t i = 0;
  while (true) {
    std::size_t start = i;
    while (i < part.size() && lower_alnum(part[i])) ++i;
    if (i == start) return false;
    if (i == part.size()) return true;
    char separator = part[i];
    std::size_t run = i;
    while (run < part.size() && part[run] == separator) ++run;
    std::size_t length = run - i;
    bool fits = (separator == '-') || (separator == '.' && length == 1) || (separator == '_' && length <= 2);
    if (!fits) return false;
    i = run;
  }
}

bool valid_path(std::string_view path) {
  for (std::string_view part : split(path, '/')) {
    if (!valid_path_component(part)) return false;
  }
  return true;
}

bool valid_tag(std::string_view tag) {
  auto word = [](char c) { return alnum(c) || c == '_'; };
  return !tag.empty() && tag.size() <= kTagMax && word(tag.front()) &&
         std::all_of(tag.begin(), tag.end(), [&](char c) { return word(c) || c == '.' || c == '-'; });
}

bool is_identifier(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return digit(c) || (c >= 'a' && c <= 'f'); });
}

// The first component is a domain only when it looks like one; else the name is Docker Hub's.
std::pair<std::string, std::string> split_domain(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    return {std::string(kDefaultDomain), std::string(kOfficialPrefix) + std::string(text)};
  }
  std::string domain(text.substr(0, slash));
  std::string rest(text.substr(slash + 1));
  bool looks_like_domain =
      domain == "localhost" || domain.find_first_of(".:") != std::string::npos || to_lower(domain) != domain;
  if (!looks_like_domain) {
    rest = std::string(text);
    domain = kDefaultDomain;
  }
  if (domain == "index.docker.io") domain = kDefaultDomain;
  if (domain == kDefaultDomain && rest.find('/') == std::string::npos) {
    rest = std::string(kOfficialPrefix) + rest;
  }
  return {domain, rest};
}

}  // namespace

Result<Reference> Reference::parse(std::string_view text) {
  if (is_identifier(text)) {
    return bad(fmt::format("invalid repository name ({}), cannot specify 64-byte hexadecimal strings", text));
  }
  auto [domain, rest] = split_domain(text);
  std::string_view remote = split_once(rest, ':').first;
  if (to_lower(remote) != remote) {
    return bad(fmt::format("invalid reference format: repository name ({}) must be lowercase", remote));
  }
  Reference ref;
  std::string_view name = rest;
  if (auto at = name.find('@'); at != std::string_view::npos) {
    Result<Digest> digest = Digest::parse(name.substr(at + 1));
    if (!digest.ok()) return bad_format();
    ref.digest = *std::move(digest);
    name = name.substr(0, at);
  }
  if (auto colon = name.find(':'); colon != std::string_view::npos) {
    if (!valid_tag(name.substr(colon + 1))) return bad_format();
    ref.tag = std::string(name.substr(colon + 1));
    name = name.substr(0, colon);
  }
  if (!valid_domain(domain) || !valid_path(name)) return bad_format();
  if (name.size() > kPathMax) {
    return bad(fmt::format("repository name must not be more than {} characters", kPathMax));
  }
  ref.domain = std::move(domain);
  ref.path = std::string(name);
  return ref;
}

std::string Reference::str() const {
  std::string out = name();
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest.str();
  return out;
}

std::string Reference::familiar_name() const {
  if (domain != kDefaultDomain) return name();
  // Only a single component below library/ may lose its prefix; "library/a/b" would not come back.
  if (path.starts_with(kOfficialPrefix) && path.find('/', kOfficialPrefix.size()) == std::string::npos) {
    return path.substr(kOfficialPrefix.size());
  }
  return path;
}

std::string Reference::familiar() const {
  std::string out = familiar_name();
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest.str();
  return out;
}

Reference Reference::with_default_tag() const {
  Reference out = *this;
  if (name_only()) out.tag = "latest";
  return out;
}

Reference Reference::with_digest(Digest wanted) const {
  Reference out = *this;
  out.digest = std::move(wanted);
  return out;
}

Reference Reference::without_tag() const {
  Reference out = *this;
  out.tag.clear();
  return out;
}

std::string Reference::object() const {
  if (!digest.empty()) return digest.str();
  return tag.empty() ? "latest" : tag;
}

}  // namespace kiln
