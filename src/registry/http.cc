#include "registry/http.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace kiln::registry {

void Headers::set(std::string name, std::string value) {
  remove(name);
  add(std::move(name), std::move(value));
}

void Headers::remove(std::string_view name) {
  std::erase_if(lines_, [&](const auto& line) { return equals_ignore_case(line.first, name); });
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& line : lines_) {
    if (equals_ignore_case(line.first, name)) return line.second;
  }
  return {};
}

bool Headers::has(std::string_view name) const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [&](const auto& line) { return equals_ignore_case(line.first, name); });
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& line : lines_) {
    if (equals_ignore_case(line.first, name)) out.push_back(line.second);
  }
  return out;
}

std::optional<std::uint64_t> Response::content_length() const {
  std::string_view text = trim(headers.get("Content-Length"));
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string Url::authority() const {
  std::string out = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  if (!port.empty()) out += ":" + port;
  return out;
}

std::string Url::str() const {
  std::string out = scheme + "://";
  if (!user_info.empty()) out += user_info + "@";
  out += authority() + path;
  if (!query.empty()) out += "?" + query;
  if (!fragment.empty()) out += "#" + fragment;
  return out;
}

Result<Url> parse_url(std::string_view text) {
  auto bad = [&] { return user_error(Code::kInvalidArgument, fmt::format("invalid URL '{}'", text)); };
  auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return bad();
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= 0x20 || c == 0x7f; })) return bad();
  Url url;
  url.scheme = to_lower(text.substr(0, colon));
  std::string_view rest = text.substr(colon + 3);
  if (auto hash = rest.find('#'); hash != std::string_view::npos) {
    url.fragment = std::string(rest.substr(hash + 1));
    rest = rest.substr(0, hash);
  }
  if (auto mark = rest.find('?'); mark != std::string_view::npos) {
    url.query = std::string(rest.substr(mark + 1));
    rest = rest.substr(0, mark);
  }
  auto slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (slash != std::string_view::npos) url.path = std::string(rest.substr(slash));
  if (auto at = authority.rfind('@'); at != std::string_view::npos) {
    url.user_info = std::string(authority.substr(0, at));
    authority = authority.substr(at + 1);
  }
  std::string_view port_part;
  if (authority.starts_with('[')) {
    auto close = authority.find(']');
    if (close == std::string_view::npos) return bad();
    url.host = std::string(authority.substr(1, close - 1));
    port_part = authority.substr(close + 1);
  } else {
    auto port = authority.find(':');
    url.host = std::string(authority.substr(0, port));
    if (port != std::string_view::npos) port_part = authority.substr(port);
  }
  if (!port_part.empty()) {
    if (port_part.front() != ':') return bad();
    url.port = std::string(port_part.substr(1));
    if (!std::all_of(url.port.begin(), url.port.end(), [](char c) { return c >= '0' && c <= '9'; })) return bad();
  }
  if (url.host.empty() && url.scheme != "file") return bad();
  return url;
}

namespace {

std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> out;
  auto parts = split(path, '/');
  for (std::size_t i = 1; i < parts.size(); ++i) {
    bool last = i + 1 == parts.size();
    if (parts[i] == "..") {
      if (!out.empty()) out.pop_back();
      if (last) out.push_back("");
    } else if (parts[i] == ".") {
      if (last) out.push_back("");
    } else {
      out.push_back(parts[i]);
    }
  }
  return "/" + join(out, "/");
}

}  // namespace

Result<std::string> resolve_url(std::string_view base, std::string_view reference) {
  auto scheme_end = reference.find("://");
  if (scheme_end != std::string_view::npos && reference.find_first_of("/?#") > scheme_end) {
    KILN_ASSIGN_OR_RETURN(Url url, parse_url(reference));
    return url.str();
  }
  KILN_ASSIGN_OR_RETURN(Url url, parse_url(base));
  url.fragment.clear();
  if (reference.starts_with("//")) return url.scheme + ":" + std::string(reference);
  if (reference.empty()) return url.str();
  auto [before_hash, fragment] = split_once(reference, '#');
  auto mark = before_hash.find('?');
  std::string_view path = before_hash.substr(0, mark);
  if (path.starts_with('/')) {
    url.path = remove_dot_segments(path);
  } else if (!path.empty()) {
    std::string folder = url.path.substr(0, url.path.rfind('/') + 1);
    if (folder.empty()) folder = "/";
    url.path = remove_dot_segments(folder + std::string(path));
  }
  if (mark != std::string_view::npos) {
    url.query = std::string(before_hash.substr(mark + 1));
  } else if (!path.empty()) {
    url.query.clear();
  }
  url.fragment = std::string(fragment);
  return url.str();
}

std::string url_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                 c == '_' || c == '~';
    if (plain) {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

Result<std::string> url_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid percent-encoding in '{}'", text));
    }
    auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc() || end != text.data() + i + 3) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid percent-encoding in '{}'", text));
    }
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

}  // namespace kiln::registry
