#include "sandbox/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "sandbox/seccomp_profile.h"

namespace kiln::sandbox {
namespace {

// Calls that the system's libseccomp may not know by name yet. Since 424 a call has the same number
// on every architecture (kernel, Documentation/process/adding-syscalls.rst).
struct NewCall {
  std::string_view name;
  int number;
};
constexpr NewCall kNewCalls[] = {
    {"quotactl_fd", 443},       {"landlock_create_ruleset", 444},
    {"landlock_add_rule", 445}, {"landlock_restrict_self", 446},
    {"memfd_secret", 447},      {"process_mrelease", 448},
    {"futex_waitv", 449},       {"set_mempolicy_home_node", 450},
    {"cachestat", 451},         {"fchmodat2", 452},
    {"map_shadow_stack", 453},  {"futex_wake", 454},
    {"futex_wait", 455},        {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},  {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},
    {"listxattrat", 465},       {"removexattrat", 466},
#if defined(__x86_64__)
    {"uretprobe", 335},
#endif
};
// Beyond this a call is newer than the profile.
constexpr int kNewestKnown = 466;

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t refuse(int errno_value) {
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(errno_value) & SECCOMP_RET_DATA);
}

using Code = std::vector<sock_filter>;

sock_filter statement(std::uint16_t code, std::uint32_t k) { return {code, 0, 0, k}; }
sock_filter jump(std::uint16_t code, std::uint32_t k, std::uint8_t yes, std::uint8_t no) { return {code, yes, no, k}; }
sock_filter give(std::uint32_t action) { return statement(BPF_RET | BPF_K, action); }

// What happens to one call: the first alternative whose arguments hold; else `otherwise`.
struct Decision {
  struct Alternative {
    std::vector<SeccompArg> args;
    std::uint32_t action;
  };
  std::vector<Alternative> alternatives;
  std::uint32_t otherwise = refuse(EPERM);
  bool plain() const { return alternatives.empty(); }
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
constexpr std::uint32_t kLow = 0, kHigh = 4;
#else
constexpr std::uint32_t kLow = 4, kHigh = 0;
#endif

// Appends code that falls through when the argument matches and otherwise jumps over `skip` further
// instructions, which the caller patches: jumps to be patched carry kPatch.
constexpr std::uint8_t kPatch = 255;

void add_condition(Code& code, const SeccompArg& arg) {
  const auto base = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + arg.index * 8);
  const auto low = static_cast<std::uint32_t>(arg.value);
  const auto high = static_cast<std::uint32_t>(arg.value >> 32);
  const sock_filter load_high = statement(BPF_LD | BPF_W | BPF_ABS, base + kHigh);
  const sock_filter load_low = statement(BPF_LD | BPF_W | BPF_ABS, base + kLow);
  switch (arg.compare) {
    case SeccompCompare::kEqual:
      code.insert(code.end(), {load_high, jump(BPF_JMP | BPF_JEQ | BPF_K, high, 0, kPatch), load_low,
                               jump(BPF_JMP | BPF_JEQ | BPF_K, low, 0, kPatch)});
      return;
    case SeccompCompare::kMaskedEqual:
      code.insert(code.end(), {load_high, statement(BPF_ALU | BPF_AND | BPF_K, high),
                               jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(arg.masked >> 32), 0, kPatch),
                               load_low, statement(BPF_ALU | BPF_AND | BPF_K, low),
                               jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(arg.masked), 0, kPatch)});
      return;
    case SeccompCompare::kLess:  // high < H, or high == H and low < L; here H is always 0
      code.insert(code.end(), {load_high, jump(BPF_JMP | BPF_JEQ | BPF_K, high, 0, kPatch), load_low,
                               jump(BPF_JMP | BPF_JGE | BPF_K, low, kPatch, 0)});
      return;
    case SeccompCompare::kGreater:  // high > H, or high == H and low > L
      code.insert(code.end(), {load_high, jump(BPF_JMP | BPF_JGT | BPF_K, high, 3, 0),
                               jump(BPF_JMP | BPF_JEQ | BPF_K, high, 0, kPatch), load_low,
                               jump(BPF_JMP | BPF_JGT | BPF_K, low, 0, kPatch)});
      return;
  }
}

Code decision_code(const Decision& decision) {
  Code code;
  for (const Decision::Alternative& alternative : decision.alternatives) {
    Code part;
    for (const SeccompArg& arg : alternative.args) add_condition(part, arg);
    part.push_back(give(alternative.action));
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto to_end = static_cast<std::uint8_t>(part.size() - i - 1);
      if (BPF_CLASS(part[i].code) != BPF_JMP) continue;
      if (part[i].jt == kPatch) part[i].jt = to_end;
      if (part[i].jf == kPatch) part[i].jf = to_end;
    }
    code.insert(code.end(), part.begin(), part.end());
  }
  code.push_back(give(decision.otherwise));
  return code;
}

// Calls from `first` up to the next range share a decision.
struct Range {
  std::uint32_t first;
  const Decision* decision;
};

// A search tree: "number >= middle?" then right half, else left half.
Code tree_code(const std::vector<Range>& ranges, std::size_t from, std::size_t to) {
  if (to - from == 1) return decision_code(*ranges[from].decision);
  const std::size_t middle = from + (to - from) / 2;
  const Code left = tree_code(ranges, from, middle);
  const Code right = tree_code(ranges, middle, to);
  Code code;
  if (left.size() <= 255) {
    code.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, static_cast<std::uint8_t>(left.size()), 0));
  } else {
    code.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, 0, 1));
    code.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(left.size())));
  }
  code.insert(code.end(), left.begin(), left.end());
  code.insert(code.end(), right.begin(), right.end());
  return code;
}

std::optional<int> call_number(std::uint32_t arch, std::string_view name) {
  for (const NewCall& call : kNewCalls) {
    if (call.name == name && call.number >= 424) return call.number;
    if (call.name == name && arch == seccomp_arch_native()) return call.number;
  }
  const int number = seccomp_syscall_resolve_name_arch(arch, std::string(name).c_str());
  if (number < 0) return std::nullopt;  // not on this architecture
  return number;
}

Code architecture_code(std::uint32_t arch, const std::vector<SeccompRule>& rules) {
  std::map<std::uint32_t, Decision> calls;
  for (const SeccompRule& rule : rules) {
    const std::uint32_t action = rule.errno_value == 0 ? kAllow : refuse(rule.errno_value);
    for (std::string_view name : rule.names) {
      const std::optional<int> number = call_number(arch, name);
      if (!number) continue;
      Decision& decision = calls[static_cast<std::uint32_t>(*number)];
      if (decision.otherwise == kAllow) continue;
      if (rule.args.empty()) {
        decision = {.alternatives = {}, .otherwise = action};
      } else {
        decision.alternatives.push_back({rule.args, action});
      }
    }
  }
  static const Decision kRefused{.alternatives = {}, .otherwise = refuse(EPERM)};
  static const Decision kUnknown{.alternatives = {}, .otherwise = refuse(ENOSYS)};
  std::vector<Range> ranges;
  auto same = [](const Decision& a, const Decision& b) { return a.plain() && b.plain() && a.otherwise == b.otherwise; };
  auto add = [&](std::uint32_t first, const Decision& decision) {
    if (!ranges.empty() && same(*ranges.back().decision, decision)) return;
    ranges.push_back({first, &decision});
  };
  std::uint32_t next = 0;
  for (const auto& [number, decision] : calls) {
    if (number > next) add(next, kRefused);
    add(number, decision);
    next = number + 1;
  }
  if (next <= kNewestKnown) add(next, kRefused);
  add(std::max<std::uint32_t>(next, kNewestKnown + 1), kUnknown);
  return tree_code(ranges, 0, ranges.size());
}

struct Architecture {
  std::uint32_t audit;    // AUDIT_ARCH_*
  std::uint32_t library;  // SCMP_ARCH_*
};

std::vector<Architecture> architectures() {
#if defined(__x86_64__)
  return {{AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64}, {AUDIT_ARCH_I386, SCMP_ARCH_X86}};
#elif defined(__aarch64__)
  return {{AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64}, {AUDIT_ARCH_ARM, SCMP_ARCH_ARM}};
#else
  return {{seccomp_arch_native(), seccomp_arch_native()}};
#endif
}

}  // namespace

SeccompFilter compile_seccomp(CapabilitySet capabilities) {
  const std::vector<SeccompRule> rules = seccomp_rules(capabilities);
  Code code = {statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch))};
  for (const Architecture& arch : architectures()) {
    Code part = {statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    const Code tree = architecture_code(arch.library, rules);
    part.insert(part.end(), tree.begin(), tree.end());
    // Another architecture: over this part, which may be longer than a conditional jump reaches.
    code.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, arch.audit, 1, 0));
    code.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(part.size())));
    code.insert(code.end(), part.begin(), part.end());
  }
  code.push_back(give(refuse(EPERM)));
  return {std::move(code)};
}

}  // namespace kiln::sandbox
