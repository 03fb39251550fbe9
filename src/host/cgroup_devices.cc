#include "host/cgroup_devices.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "host/fd.h"

namespace kiln::host {
namespace {

bpf_insn instruction(std::uint8_t code, std::uint8_t dst, std::uint8_t src, std::int16_t off, std::int32_t imm) {
  bpf_insn insn{};
  insn.code = code;
  insn.dst_reg = dst & 15u;
  insn.src_reg = src & 15u;
  insn.off = off;
  insn.imm = imm;
  return insn;
}

std::int32_t access_bits(const std::string& access) {
  std::int32_t bits = 0;
  for (char c : access) {
    if (c == 'm') bits |= BPF_DEVCG_ACC_MKNOD;
    if (c == 'r') bits |= BPF_DEVCG_ACC_READ;
    if (c == 'w') bits |= BPF_DEVCG_ACC_WRITE;
  }
  return bits;
}

// Registers: r2 type, r3 access, r4 major, r5 minor. A rule that does not match jumps to the next.
void add_rule(std::vector<bpf_insn>& out, const DeviceRule& rule) {
  std::vector<bpf_insn> block;
  std::vector<std::size_t> jumps;  // to be pointed at the end of the block
  auto unless_equal = [&](std::uint8_t reg, std::int32_t value) {
    jumps.push_back(block.size());
    block.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, value));
  };
  if (rule.type != 'a') unless_equal(BPF_REG_2, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  const std::int32_t bits = access_bits(rule.access);
  if (rule.type != 'a' && bits != 7) {
    // Everything asked for must be among what the rule names.
    block.push_back(instruction(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0));
    block.push_back(instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, bits));
    jumps.push_back(block.size());
    block.push_back(instruction(BPF_JMP | BPF_JNE | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0));
  }
  if (rule.type != 'a' && rule.major >= 0) unless_equal(BPF_REG_4, rule.major);
  if (rule.type != 'a' && rule.minor >= 0) unless_equal(BPF_REG_5, rule.minor);
  block.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule.allow ? 1 : 0));
  block.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  for (std::size_t at : jumps) block[at].off = static_cast<std::int16_t>(block.size() - at - 1);
  out.insert(out.end(), block.begin(), block.end());
}

}  // namespace

Status attach_device_program(const std::string& folder, const std::vector<DeviceRule>& rules) {
  std::vector<bpf_insn> program = {
      instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, 0, 0),
      instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff),
      instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1, 0, 0),
      instruction(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16),
      instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, 4, 0),
      instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, 8, 0),
  };
  // Last match wins, so the first to be asked is the last rule; what follows a rule for everything
  // could not be reached, and the kernel refuses such programs.
  bool closed = false;
  for (auto rule = rules.rbegin(); rule != rules.rend() && !closed; ++rule) {
    add_rule(program, *rule);
    closed = rule->type == 'a';
  }
  if (!closed) add_rule(program, {.allow = false});

  bpf_attr load;
  std::memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<std::uint64_t>(program.data());
  load.insn_cnt = static_cast<std::uint32_t>(program.size());
  load.license = reinterpret_cast<std::uint64_t>("Apache-2.0");
  Fd loaded(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load)));
  if (!loaded.valid()) return errno_error(errno, "load the device rules' program");

  KILN_ASSIGN_OR_RETURN(Fd group, open_file(folder, O_RDONLY | O_DIRECTORY));
  bpf_attr attach;
  std::memset(&attach, 0, sizeof attach);
  attach.target_fd = static_cast<std::uint32_t>(group.get());
  attach.attach_bpf_fd = static_cast<std::uint32_t>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (::syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) != 0) {
    return errno_error(errno, fmt::format("attach device rules to '{}'", folder));
  }
  return ok();
}

}  // namespace kiln::host
