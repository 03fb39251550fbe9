#include "sandbox/security.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <iterator>

#include "host/fd.h"

namespace kiln::sandbox {
namespace {

constexpr std::string_view kMasked[] = {"/proc/acpi",
                                        "/proc/asound",
                                        "/proc/kcore",
                                        "/proc/keys",
                                        "/proc/latency_stats",
                                        "/proc/timer_list",
                                        "/proc/timer_stats",
                                        "/proc/sched_debug",
                                        "/proc/scsi",
                                        "/sys/firmware",
                                        "/sys/devices/virtual/powercap"};
constexpr std::string_view kReadonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

int free_loop_number() {
  Result<host::Fd> control = host::open_file("/dev/loop-control", O_RDWR);
  if (!control.ok()) return 0;
  const int number = ::ioctl(control->get(), LOOP_CTL_GET_FREE);
  return number < 0 ? 0 : number;
}

}  // namespace

std::span<const std::string_view> masked_paths() { return kMasked; }
std::span<const std::string_view> readonly_paths() { return kReadonly; }

std::span<const Device> standard_devices() {
  static const std::vector<Device> kDevices = {
      {.path = "/dev/null", .major = 1, .minor = 3},    {.path = "/dev/zero", .major = 1, .minor = 5},
      {.path = "/dev/full", .major = 1, .minor = 7},    {.path = "/dev/random", .major = 1, .minor = 8},
      {.path = "/dev/urandom", .major = 1, .minor = 9}, {.path = "/dev/tty", .major = 5, .minor = 0}};
  return kDevices;
}

std::vector<Device> insecure_devices() {
  std::vector<Device> out = {
      {.path = "/dev/kmsg", .major = 1, .minor = 11},      {.path = "/dev/cuse", .major = 10, .minor = 203},
      {.path = "/dev/fuse", .major = 10, .minor = 229},    {.path = "/dev/kvm", .major = 10, .minor = 232},
      {.path = "/dev/net/tun", .major = 10, .minor = 200}, {.path = "/dev/loop-control", .major = 10, .minor = 237}};
  // The next free one and some more, for steps that set up several images.
  const int last = free_loop_number() + 7;
  for (int i = 0; i <= last; ++i) {
    out.push_back(
        {.path = fmt::format("/dev/loop{}", i), .type = 'b', .major = 7, .minor = static_cast<std::uint32_t>(i)});
  }
  return out;
}

std::vector<Device> devices_of(const ContainerSpec& container) {
  std::vector<Device> out(standard_devices().begin(), standard_devices().end());
  if (container.security == SecurityMode::kInsecure) {
    for (Device& device : insecure_devices()) out.push_back(std::move(device));
  }
  out.insert(out.end(), container.devices.begin(), container.devices.end());
  return out;
}

std::vector<host::DeviceRule> device_rules(const ContainerSpec& container) {
  if (container.security == SecurityMode::kInsecure) {
    return {{.allow = true, .type = 'a'}};
  }
  std::vector<host::DeviceRule> rules = {
      {.allow = false, .type = 'a'},
      {.type = 'c', .access = "m"},  // making a node is harmless while using it is not
      {.type = 'b', .access = "m"},
      {.type = 'c', .major = 136},             // pseudo terminals
      {.type = 'c', .major = 5, .minor = 2},   // ptmx
      {.type = 'c', .major = 5, .minor = 1}};  // console
  for (const Device& device : standard_devices()) {
    rules.push_back(
        {.type = device.type, .major = static_cast<int>(device.major), .minor = static_cast<int>(device.minor)});
  }
  for (const Device& device : container.devices) {
    rules.push_back({.type = device.type,
                     .major = static_cast<int>(device.major),
                     .minor = static_cast<int>(device.minor),
                     .access = device.access});
  }
  return rules;
}

}  // namespace kiln::sandbox
