#include "op/emulator.h"

#include "base/log.h"
#include "base/text.h"
#include "host/command.h"
#include "sandbox/foreign_programs.h"

namespace kiln::op {
namespace {

// What qemu calls the architectures that images call otherwise.
std::string qemu_name(const std::string& architecture) {
  if (architecture == "arm64") return "aarch64";
  if (architecture == "amd64") return "x86_64";
  if (architecture == "386") return "i386";
  return architecture;
}

std::string names_of(const std::vector<Platform>& platforms, const std::string& architecture) {
  std::vector<std::string> names;
  for (const Platform& platform : platforms) {
    if (platform.architecture == architecture) names.push_back(platform.str());
  }
  return join(names, ", ");
}

}  // namespace

Result<std::optional<std::string>> emulator_for(const std::optional<Platform>& platform,
                                                const sandbox::Architectures* architectures) {
  if (architectures == nullptr || !platform || (platform->os != "linux" && !platform->os.empty())) return std::nullopt;
  const Platform wanted = platform->normalized();
  if (wanted.same_as(Platform::host()) || architectures->can_run(wanted)) return std::nullopt;
  if (wanted.architecture == "amd64" && !wanted.variant.empty() && wanted.variant != "v2") {
    return environment_error(Code::kFailedPrecondition,
                             fmt::format("no support for running processes with {} platform, supported: {}",
                                         wanted.str(), names_of(architectures->platforms(), "amd64")));
  }
  std::optional<std::string> emulator = host::find_program("buildkit-qemu-" + qemu_name(wanted.architecture));
  if (!emulator) log_warn("no emulator for {} is registered or in PATH", wanted.str());
  return emulator;
}

}  // namespace kiln::op
