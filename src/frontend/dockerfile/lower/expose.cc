// EXPOSE: ports that the image listens on.
#include <charconv>

#include <arpa/inet.h>

#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr int kPortMax = 65535;

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

struct PortRange {
  int first = 0;
  int last = 0;
};

std::optional<PortRange> parse_range(std::string_view text) {
  auto [first_text, last_text] = split_once(text, '-');
  const bool is_range = text.find('-') != std::string_view::npos && first_text != last_text;
  auto first = parse_integer(first_text);
  auto last = is_range ? parse_integer(last_text) : first;
  if (!first || !last || *first < 0 || *last < *first || *last > kPortMax) return std::nullopt;
  return PortRange{static_cast<int>(*first), static_cast<int>(*last)};
}

// [ip:][host port:]port[/proto], as `docker run -p` writes it.
struct PortText {
  std::string ip;
  std::string host;
  std::string port;
  std::string protocol = "tcp";
};

Result<PortText> split_port(const std::string& text) {
  PortText out;
  auto parts = split(text, ':');
  const std::size_t n = parts.size();
  std::string_view last = parts[n - 1];
  if (n >= 2) out.host = std::string(parts[n - 2]);
  if (n >= 3) out.ip = join(std::vector<std::string_view>(parts.begin(), parts.end() - 2), ":");
  auto [port, protocol] = split_once(last, '/');
  if (port.empty()) return invalid(fmt::format("invalid port: {}: no port specified", quote(text)));
  out.port = std::string(port);
  if (!protocol.empty()) out.protocol = std::string(protocol);
  const std::string lower = to_lower(out.protocol);
  if (lower != "tcp" && lower != "udp" && lower != "sctp") {
    return invalid(fmt::format("invalid port: {}: invalid proto: {}{}", quote(text), protocol,
                               suggestion_suffix(protocol, {"tcp", "udp", "sctp"}, MatchCase::kInsensitive)));
  }
  return out;
}

bool is_ip(const std::string& text) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

Status check_mapping(const PortText& text, const PortRange& port) {
  std::string ip = text.ip;
  if (ip.starts_with('[')) {
    if (!ip.ends_with(']')) return invalid("invalid IP address " + ip);
    ip = ip.substr(1, ip.size() - 2);
  }
  if (!ip.empty() && !is_ip(ip)) return invalid("invalid IP address: " + ip);
  if (text.host.empty()) return ok();
  auto host = parse_range(text.host);
  if (!host) return invalid("invalid hostPort: " + text.host);
  if (port.last - port.first != host->last - host->first && port.first != port.last) {
    return invalid(
        fmt::format("invalid ranges specified for container and host Ports: {} and {}", text.port, text.host));
  }
  return ok();
}

Status add_ports(StepContext& at, const std::string& written, std::vector<std::string>& out) {
  KILN_ASSIGN_OR_RETURN(PortText text, split_port(written));
  const std::string protocol = to_lower(text.protocol);
  if (protocol != text.protocol) {
    at.lint.report(lint_rules::kExposeProtoCasing, at.ranges(), lint_text::expose_proto_casing(written));
  }
  if (!text.ip.empty() || !text.host.empty()) {
    at.lint.report(lint_rules::kExposeInvalidFormat, at.ranges(), lint_text::expose_invalid_format(written));
  }
  auto range = parse_range(text.port);
  if (range) KILN_RETURN_IF_ERROR(check_mapping(text, *range));
  if (!range) return invalid("invalid containerPort: " + text.port);
  for (int port = range->first; port <= range->last; ++port) out.push_back(fmt::format("{}/{}", port, protocol));
  return ok();
}

}  // namespace

Status lower_expose(StepContext& at, Expose& expose) {
  const StateEnvironment env(at.stage.state.settings().env);
  std::vector<std::string> ports;
  for (const auto& written : expose.ports) {
    KILN_ASSIGN_OR_RETURN(auto words, at.lowering.lexer().words(written, env));
    for (const auto& word : words) KILN_RETURN_IF_ERROR(with_word(add_ports(at, word, ports), word));
  }
  at.stage.image.config.exposed_ports.insert(ports.begin(), ports.end());
  add_history(at.stage, "EXPOSE " + plain_list(ports), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
