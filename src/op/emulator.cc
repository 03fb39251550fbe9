#include "op/emulator.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "base/text.h"
#include "host/fs.h"

namespace kiln::op {
namespace {

// What qemu calls the architectures that images call otherwise.
std::string qemu_name(const std::string& architecture) {
  if (architecture == "arm64") return "aarch64";
  if (architecture == "amd64") return "x86_64";
  if (architecture == "386") return "i386";
  return architecture;
}

bool runs_natively(const std::string& host, const std::string& wanted) {
  if (host == wanted || wanted.empty()) return true;
  return (host == "amd64" && wanted == "386") || (host == "arm64" && wanted == "arm");
}

bool registered(const std::string& qemu) {
  const std::string entry = "/proc/sys/fs/binfmt_misc/qemu-" + qemu;
  Result<std::string> text = host::read_file(entry, 4096);
  return text.ok() && text->starts_with("enabled");
}

}  // namespace

std::optional<std::string> emulator_for(const std::optional<Platform>& platform) {
  if (!platform || (platform->os != "linux" && !platform->os.empty())) return std::nullopt;
  const Platform wanted = platform->normalized();
  if (runs_natively(Platform::host().architecture, wanted.architecture)) return std::nullopt;
  const std::string qemu = qemu_name(wanted.architecture);
  if (registered(qemu)) return std::nullopt;
  const char* path = std::getenv("PATH");
  for (std::string_view folder : split(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    std::string candidate = fmt::format("{}/buildkit-qemu-{}", folder, qemu);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  log_warn("no emulator for {} is registered or in PATH", wanted.str());
  return std::nullopt;
}

}  // namespace kiln::op
