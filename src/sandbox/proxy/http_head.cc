#include "sandbox/proxy/http_head.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace kiln::sandbox::proxy {
namespace {

Status malformed(std::string_view what) {
  return user_error(Code::kInvalidArgument, fmt::format("malformed HTTP message: {}", what));
}

bool same_name(std::string_view a, std::string_view b) { return to_lower(a) == to_lower(b); }

bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return (c < ' ' && c != '\t') || c == 127; });
}

Status parse_version(std::string_view text, HttpHead& head) {
  if (text != "HTTP/1.1" && text != "HTTP/1.0") return malformed("its version is not HTTP/1");
  head.minor = text.back() - '0';
  return ok();
}

Status parse_start(std::string_view line, HttpKind kind, HttpHead& head) {
  const auto [first, rest] = split_once(line, ' ');
  const auto [second, third] = split_once(rest, ' ');
  if (kind == HttpKind::kRequest) {
    head.method = first;
    head.target = second;
    if (!is_token(first) || second.empty()) return malformed("its first line is no request");
    return parse_version(third, head);
  }
  const auto [end, error] = std::from_chars(second.data(), second.data() + second.size(), head.status);
  if (error != std::errc() || end != second.data() + second.size() || head.status < 100 || head.status > 599) {
    return malformed("its first line is no response");
  }
  head.reason = third;
  return parse_version(first, head);
}

Result<std::optional<std::uint64_t>> length_of(const HttpHead& head) {
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : head.fields) {
    if (!same_name(name, "content-length")) continue;
    for (std::string_view one : split(value, ',')) {
      one = trim(one);
      std::uint64_t number = 0;
      const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), number);
      if (error != std::errc() || end != one.data() + one.size()) return malformed("its length is no number");
      if (length && *length != number) return malformed("it has several lengths");
      length = number;
    }
  }
  return length;
}

// Whether it is sent in chunks, which is the only coding that may be last.
Result<bool> chunked(const HttpHead& head) {
  const auto coding = head.get("transfer-encoding");
  if (!coding) return false;
  if (!same_name(trim(*coding), "chunked")) return malformed("its transfer coding is unknown");
  return true;
}

}  // namespace

std::optional<std::string_view> HttpHead::get(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (same_name(key, name)) return value;
  }
  return std::nullopt;
}

void HttpHead::remove(std::string_view name) {
  std::erase_if(fields, [&](const auto& field) { return same_name(field.first, name); });
}

void HttpHead::set(std::string_view name, std::string value) {
  remove(name);
  fields.emplace_back(name, std::move(value));
}

bool HttpHead::has_word(std::string_view name, std::string_view word) const {
  for (const auto& [key, value] : fields) {
    if (!same_name(key, name)) continue;
    for (std::string_view one : split(value, ',')) {
      if (same_name(trim(one), word)) return true;
    }
  }
  return false;
}

void HttpHead::remove_hop_fields() {
  std::vector<std::string> named;
  for (const auto& [key, value] : fields) {
    if (!same_name(key, "connection")) continue;
    for (std::string_view one : split(value, ',')) named.emplace_back(trim(one));
  }
  for (const std::string& name : named) remove(name);
  for (const char* name : {"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
                           "TE", "Trailer", "Transfer-Encoding", "Upgrade"}) {
    remove(name);
  }
}

std::string HttpHead::text() const {
  std::string out = status == 0 ? fmt::format("{} {} HTTP/1.{}\r\n", method, target, minor)
                                : fmt::format("HTTP/1.{} {} {}\r\n", minor, status, reason);
  for (const auto& [name, value] : fields) out += fmt::format("{}: {}\r\n", name, value);
  return out + "\r\n";
}

Result<HttpHead> parse_head(std::string_view text, HttpKind kind) {
  HttpHead head;
  bool first = true;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return malformed("it has no end");
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;
    if (!is_clean(line)) return malformed("it has control characters");
    if (first) {
      KILN_RETURN_IF_ERROR(parse_start(line, kind, head));
      first = false;
      continue;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return malformed("a field has no name");
    head.fields.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
  }
  if (first) return malformed("it is empty");
  return head;
}

Result<BodyFrame> request_body(const HttpHead& head) {
  KILN_ASSIGN_OR_RETURN(const bool in_chunks, chunked(head));
  KILN_ASSIGN_OR_RETURN(const std::optional<std::uint64_t> length, length_of(head));
  if (in_chunks && length) return malformed("it has a length and chunks");
  if (in_chunks) return BodyFrame{BodyKind::kChunked};
  if (length && *length > 0) return BodyFrame{BodyKind::kLength, *length};
  return BodyFrame{};
}

Result<BodyFrame> response_body(const HttpHead& head, std::string_view method) {
  if (method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304) return BodyFrame{};
  KILN_ASSIGN_OR_RETURN(const bool in_chunks, chunked(head));
  if (in_chunks) return BodyFrame{BodyKind::kChunked};
  KILN_ASSIGN_OR_RETURN(const std::optional<std::uint64_t> length, length_of(head));
  if (length) return BodyFrame{BodyKind::kLength, *length};
  return BodyFrame{BodyKind::kUntilClose};
}

}  // namespace kiln::sandbox::proxy
