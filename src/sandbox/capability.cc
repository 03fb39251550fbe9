#include "sandbox/capability.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include <iterator>

namespace kiln::sandbox {
namespace {

// By bit number.
constexpr std::string_view kNames[] = {"CAP_CHOWN",
                                       "CAP_DAC_OVERRIDE",
                                       "CAP_DAC_READ_SEARCH",
                                       "CAP_FOWNER",
                                       "CAP_FSETID",
                                       "CAP_KILL",
                                       "CAP_SETGID",
                                       "CAP_SETUID",
                                       "CAP_SETPCAP",
                                       "CAP_LINUX_IMMUTABLE",
                                       "CAP_NET_BIND_SERVICE",
                                       "CAP_NET_BROADCAST",
                                       "CAP_NET_ADMIN",
                                       "CAP_NET_RAW",
                                       "CAP_IPC_LOCK",
                                       "CAP_IPC_OWNER",
                                       "CAP_SYS_MODULE",
                                       "CAP_SYS_RAWIO",
                                       "CAP_SYS_CHROOT",
                                       "CAP_SYS_PTRACE",
                                       "CAP_SYS_PACCT",
                                       "CAP_SYS_ADMIN",
                                       "CAP_SYS_BOOT",
                                       "CAP_SYS_NICE",
                                       "CAP_SYS_RESOURCE",
                                       "CAP_SYS_TIME",
                                       "CAP_SYS_TTY_CONFIG",
                                       "CAP_MKNOD",
                                       "CAP_LEASE",
                                       "CAP_AUDIT_WRITE",
                                       "CAP_AUDIT_CONTROL",
                                       "CAP_SETFCAP",
                                       "CAP_MAC_OVERRIDE",
                                       "CAP_MAC_ADMIN",
                                       "CAP_SYSLOG",
                                       "CAP_WAKE_ALARM",
                                       "CAP_BLOCK_SUSPEND",
                                       "CAP_AUDIT_READ",
                                       "CAP_PERFMON",
                                       "CAP_BPF",
                                       "CAP_CHECKPOINT_RESTORE"};

}  // namespace

CapabilitySet default_capabilities() {
  CapabilitySet set = 0;
  for (int bit : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID, CAP_SETUID,
                  CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL, CAP_AUDIT_WRITE}) {
    set |= CapabilitySet{1} << bit;
  }
  // A daemon that was given less cannot give more.
  return set & own_capabilities();
}

CapabilitySet own_capabilities() {
  CapabilitySet set = 0;
  for (int bit = 0; bit < 64; ++bit) {
    const int held = ::prctl(PR_CAPBSET_READ, bit, 0, 0, 0);
    if (held < 0) break;
    if (held == 1) set |= CapabilitySet{1} << bit;
  }
  return set;
}

std::optional<int> capability_bit(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<int>(i);
  }
  return std::nullopt;
}

std::vector<std::string> capability_names(CapabilitySet set) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (set >> i & 1) out.emplace_back(kNames[i]);
  }
  return out;
}

bool has_capability(CapabilitySet set, std::string_view name) {
  const std::optional<int> bit = capability_bit(name);
  return bit && (set >> *bit & 1);
}

}  // namespace kiln::sandbox
