#include "sandbox/foreign_programs.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/fd.h"
#include "host/fs.h"

namespace kiln::sandbox {
namespace {

constexpr std::uint64_t kAddress = 0x400000;

// exit(0) in the machine's code.
struct Machine {
  std::string_view architecture;
  std::uint16_t number;
  bool wide, big;
  std::uint32_t flags;
  std::string_view code;
};

using namespace std::string_view_literals;

constexpr Machine kMachines[] = {
    {"amd64", EM_X86_64, true, false, 0, "\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"sv},
    {"arm64", EM_AARCH64, true, false, 0, "\x00\x00\x80\xd2\xa8\x0b\x80\xd2\x01\x00\x00\xd4"sv},
    {"riscv64", EM_RISCV, true, false, 0, "\x13\x05\x00\x00\x93\x08\xd0\x05\x73\x00\x00\x00"sv},
    {"ppc64", EM_PPC64, true, true, 2, "\x38\x00\x00\x01\x38\x60\x00\x00\x44\x00\x00\x02"sv},
    {"ppc64le", EM_PPC64, true, false, 2, "\x01\x00\x00\x38\x00\x00\x60\x38\x02\x00\x00\x44"sv},
    {"s390x", EM_S390, true, true, 0, "\xa7\x29\x00\x00\x0a\x01"sv},
    {"386", EM_386, false, false, 0, "\xb8\x01\x00\x00\x00\x31\xdb\xcd\x80"sv},
    {"mips64le", EM_MIPS, true, false, 0x80000000, "\xc2\x13\x02\x24\x00\x00\x04\x24\x0c\x00\x00\x00"sv},
    {"mips64", EM_MIPS, true, true, 0x80000000, "\x24\x02\x13\xc2\x24\x04\x00\x00\x00\x00\x00\x0c"sv},
    {"loong64", 258, true, false, 3, "\x04\x00\x80\x03\x0b\x74\x81\x03\x00\x00\x2b\x00"sv},
    {"arm", EM_ARM, false, false, 0x05000000, "\x00\x00\xa0\xe3\x01\x70\xa0\xe3\x00\x00\x00\xef"sv},
};

// Numbers in the machine's byte order, one after the other.
class Image {
 public:
  explicit Image(bool big) : big_(big) {}
  Image& put(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_.push_back(static_cast<char>(value >> 8 * (big_ ? size - 1 - i : i)));
    return *this;
  }
  Image& put(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  std::string take() { return std::move(bytes_); }

 private:
  const bool big_;
  std::string bytes_;
};

std::string image_of(const Machine& machine) {
  const int word = machine.wide ? 8 : 4;
  const std::uint64_t header = machine.wide ? 64 : 52, segment = machine.wide ? 56 : 32;
  const std::uint64_t size = header + segment + machine.code.size();
  Image out(machine.big);
  out.put(
         "\x7f"
         "ELF"sv)
      .put(machine.wide ? 2 : 1, 1)
      .put(machine.big ? 2 : 1, 1)
      .put(1, 1)
      .put(0, 1)
      .put(0, 8);
  out.put(ET_EXEC, 2).put(machine.number, 2).put(1, 4);
  out.put(kAddress + header + segment, word).put(header, word).put(0, word).put(machine.flags, 4);
  out.put(header, 2).put(segment, 2).put(1, 2).put(0, 2).put(0, 2).put(0, 2);
  out.put(PT_LOAD, 4);
  if (machine.wide) out.put(PF_R | PF_X, 4);
  out.put(0, word).put(kAddress, word).put(kAddress, word).put(size, word).put(size, word);
  if (!machine.wide) out.put(PF_R | PF_X, 4);
  out.put(0x10000, word);
  return out.put(machine.code).take();
}

// Runs /program in the folder as its root, with everything closed; between vfork and execve the child
// makes system calls alone.
bool run_in(const std::string& folder) {
  const char* const name = "/program";
  char* const argv[] = {const_cast<char*>(name), nullptr};
  char* const envp[] = {nullptr};
  const pid_t child = ::vfork();
  if (child == 0) {
    if (::chroot(folder.c_str()) == 0 && ::chdir("/") == 0) ::execve(name, argv, envp);
    ::_exit(127);
  }
  if (child < 0) return false;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#if defined(__x86_64__)
// Levels of the x86-64 psABI that this processor has.
std::vector<std::string> processor_levels() {
  std::vector<std::string> out;
  if (!__builtin_cpu_supports("ssse3") || !__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
    return out;
  out.push_back("v2");
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
      !__builtin_cpu_supports("fma")) {
    return out;
  }
  out.push_back("v3");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    out.push_back("v4");
  }
  return out;
}
#else
std::vector<std::string> processor_levels() { return {}; }
#endif

// Without interpreters nothing but the processor's own older brother needs to be tried.
bool has_interpreters() {
  const Result<std::vector<std::string>> entries = host::list_dir("/proc/sys/fs/binfmt_misc");
  return entries.ok() && std::any_of(entries->begin(), entries->end(),
                                     [](const std::string& name) { return name != "register" && name != "status"; });
}

std::vector<Platform> find_platforms() {
  const Platform own = Platform::host().normalized();
  std::vector<Platform> out = {own};
  auto add = [&](std::string_view architecture, std::string variant) {
    Platform platform = own;
    platform.architecture = architecture;
    platform.variant = std::move(variant);
    out.push_back(std::move(platform));
  };
  if (own.architecture == "amd64") {
    for (std::string& level : processor_levels()) add("amd64", std::move(level));
  }
  const bool interpreters = has_interpreters();
  for (std::string_view architecture : known_architectures()) {
    const bool related = (own.architecture == "amd64" && architecture == "386") ||
                         (own.architecture == "arm64" && architecture == "arm");
    if (architecture == own.architecture || (!interpreters && !related) || !runs(architecture)) continue;
    add(architecture, architecture == "arm" ? "v7" : "");
    if (architecture == "arm") add("arm", "v6");
  }
  return out;
}

}  // namespace

std::vector<std::string_view> known_architectures() {
  std::vector<std::string_view> out;
  for (const Machine& machine : kMachines) out.push_back(machine.architecture);
  return out;
}

std::string tiny_program(std::string_view architecture) {
  for (const Machine& machine : kMachines) {
    if (machine.architecture == architecture) return image_of(machine);
  }
  return {};
}

bool runs(std::string_view architecture) {
  const std::string program = tiny_program(architecture);
  if (program.empty()) return false;
  Result<host::TempDir> folder = host::TempDir::make("kiln-probe-");
  if (!folder.ok()) return false;
  const std::string path = folder->path() + "/program";
  return host::write_file(path, program).ok() && ::chmod(path.c_str(), 0700) == 0 && run_in(folder->path());
}

std::vector<Platform> Architectures::platforms() const {
  std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (found_.empty() || (age_max_.count() >= 0 && now - found_at_ >= age_max_)) {
    found_ = find_platforms();
    found_at_ = now;
  }
  return found_;
}

bool Architectures::can_run(const Platform& platform) const {
  const Platform wanted = platform.normalized();
  for (const Platform& found : platforms()) {
    if (found.architecture != wanted.architecture) continue;
    // A level of amd64 is a demand on the processor; an arm of any version runs on a newer one.
    if (found.architecture != "amd64" || wanted.variant.empty() || wanted.variant == "v1" ||
        found.variant == wanted.variant)
      return true;
  }
  return false;
}

}  // namespace kiln::sandbox
