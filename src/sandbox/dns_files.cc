#include "sandbox/dns_files.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "host/fd.h"

namespace kiln::sandbox {
namespace {

constexpr std::string_view kResolvConf = "/etc/resolv.conf";
// What systemd-resolved writes for programs that cannot reach its stub at 127.0.0.53.
constexpr std::string_view kResolvedUpstream = "/run/systemd/resolve/resolv.conf";

struct ResolvConf {
  std::vector<std::string> servers, search, options, other;
};

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf out;
  for (std::string_view line : split(text, '\n')) {
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    std::vector<std::string_view> fields = words(line);
    if (fields.empty()) continue;
    if (fields[0] == "nameserver") {
      if (fields.size() > 1) out.servers.emplace_back(fields[1]);
    } else if (fields[0] == "search" || fields[0] == "domain") {
      out.search.clear();  // the last one counts
      for (std::size_t i = 1; i < fields.size(); ++i) {
        if (fields[i] != ".") out.search.emplace_back(fields[i]);
      }
    } else if (fields[0] == "options") {
      for (std::size_t i = 1; i < fields.size(); ++i) out.options.emplace_back(fields[i]);
    } else {
      out.other.emplace_back(line);
    }
  }
  return out;
}

bool is_loopback(std::string_view address) { return address.starts_with("127.") || address == "::1"; }

std::int64_t changed_at(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * 1000000000LL + info.st_mtim.tv_nsec;
}

// The host file to start from.
std::string source_for(NetworkMode mode) {
  if (mode == NetworkMode::kHost) return std::string(kResolvConf);
  Result<std::string> text = host::read_file(std::string(kResolvConf), 1 << 20);
  if (!text.ok()) return std::string(kResolvConf);
  const ResolvConf parsed = parse_resolv_conf(*text);
  if (parsed.servers.size() == 1 && parsed.servers[0] == "127.0.0.53") return std::string(kResolvedUpstream);
  return std::string(kResolvConf);
}

}  // namespace

std::string make_resolv_conf(std::string_view host_text, const DnsConfig& dns, NetworkMode mode) {
  ResolvConf conf = parse_resolv_conf(host_text);
  if (!dns.nameservers.empty()) conf.servers = dns.nameservers;
  if (!dns.search_domains.empty()) {
    conf.search = dns.search_domains;
    std::erase(conf.search, ".");
  }
  if (!dns.options.empty()) conf.options = dns.options;
  if (dns.nameservers.empty() && (mode != NetworkMode::kHost || conf.servers.empty())) {
    std::erase_if(conf.servers, [](const std::string& server) { return is_loopback(server); });
    if (conf.servers.empty()) {
      conf.servers = {"8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"};
    }
  }
  std::string out;
  for (const std::string& server : conf.servers) out += fmt::format("nameserver {}\n", server);
  if (!conf.search.empty()) out += fmt::format("search {}\n", join(conf.search, " "));
  if (!conf.options.empty()) out += fmt::format("options {}\n", join(conf.options, " "));
  for (const std::string& line : conf.other) out += line + "\n";
  return out;
}

std::string make_hosts(std::string_view hostname, const std::vector<ExtraHost>& extra) {
  std::string out = fmt::format("127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
                                hostname.empty() ? kDefaultHostname : hostname);
  for (const ExtraHost& entry : extra) out += fmt::format("{}\t{}\n", entry.ip, entry.host);
  return out;
}

Result<DnsFiles::File> DnsFiles::resolv_conf(NetworkMode mode) {
  const bool host = mode == NetworkMode::kHost;
  const std::string path = folder_ + (host ? "/resolv-host.conf" : "/resolv.conf");
  std::lock_guard lock(mutex_);
  Kept& kept = kept_[host ? 1 : 0];
  const std::string source = kept.source.empty() ? source_for(mode) : kept.source;
  const std::int64_t time = changed_at(source);
  if (kept.changed != 0 && time == kept.source_time_ns) return File{path, kept.changed};

  kept.source = source_for(mode);
  kept.source_time_ns = changed_at(kept.source);
  Result<std::string> text = host::read_file(kept.source, 1 << 20);
  if (!text.ok() && !is_not_found(text.status())) return text.status();
  KILN_RETURN_IF_ERROR(host::replace_file(path, make_resolv_conf(text.ok() ? *text : "", dns_, mode)));
  return File{path, ++kept.changed};
}

Result<DnsFiles::File> DnsFiles::shared_hosts() {
  const std::string path = folder_ + "/hosts";
  std::lock_guard lock(mutex_);
  if (!hosts_written_) {
    KILN_RETURN_IF_ERROR(host::replace_file(path, make_hosts(kDefaultHostname, {})));
    hosts_written_ = true;
  }
  return File{path, 1};
}

Result<std::string> DnsFiles::own_hosts(const ContainerSpec& container) {
  std::string path = folder_ + "/hosts." + container.id;
  KILN_RETURN_IF_ERROR(host::replace_file(path, make_hosts(container.hostname, container.extra_hosts)));
  return path;
}

}  // namespace kiln::sandbox
