// The /etc/resolv.conf and /etc/hosts that a step sees. Both are files under the runtime's state
// directory, mounted read-only over the tree's own; the shared ones are written once and again when
// the host's resolver changes.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sandbox/runtime.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

inline constexpr std::string_view kDefaultHostname = "buildkitsandbox";

// resolv.conf(5) for a container from the host's text: loopback servers are unreachable from a
// network of its own and left out (Google's public ones stand in when none is left), configured
// values replace the host's.
std::string make_resolv_conf(std::string_view host_text, const DnsConfig& dns, NetworkMode mode);
// hosts(5): localhost, the hostname, then the extra hosts in order.
std::string make_hosts(std::string_view hostname, const std::vector<ExtraHost>& extra);

// Keeps the files. Any thread.
class DnsFiles {
 public:
  // `folder` exists and is ours.
  DnsFiles(std::string folder, DnsConfig dns) : folder_(std::move(folder)), dns_(std::move(dns)) {}

  // The file for this mode; rewritten when the host's is newer. `changed` grows with each rewrite.
  struct File {
    std::string path;
    int changed = 0;
  };
  Result<File> resolv_conf(NetworkMode mode);
  // The shared file when hostname and hosts are the default's.
  Result<File> shared_hosts();
  // A file of this container's own; the caller removes it.
  Result<std::string> own_hosts(const ContainerSpec& container);

 private:
  struct Kept {
    std::string source;
    std::int64_t source_time_ns = -1;
    int changed = 0;
  };
  std::string folder_;
  DnsConfig dns_;
  std::mutex mutex_;
  Kept kept_[2];  // a network of its own, the host's network
  bool hosts_written_ = false;
};

}  // namespace kiln::sandbox
