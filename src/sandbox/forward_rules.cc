#include "sandbox/forward_rules.h"

#include <vector>

#include "base/log.h"
#include "host/command.h"

namespace kiln::sandbox {
namespace {

using Words = std::vector<std::string>;

std::vector<Words> rules_of(const std::string& bridge) {
  return {{"-i", bridge, "-j", "ACCEPT"},
          {"-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"}};
}

Result<host::CommandResult> iptables(const Words& words) {
  host::Command command{.args = {"iptables", "-w", "5"}};
  command.args.insert(command.args.end(), words.begin(), words.end());
  return host::run_command(command, {});
}

bool succeeds(const char* action, const Words& rule) {
  Words words = {action, "FORWARD"};
  words.insert(words.end(), rule.begin(), rule.end());
  const auto done = iptables(words);
  return done.ok() && done->code == 0;
}

// Whether somebody told the machine not to forward what no rule speaks of.
bool forwards_nothing() {
  if (!host::find_program("iptables")) return false;
  const auto listed = iptables({"-S", "FORWARD"});
  return listed.ok() && listed->code == 0 && listed->output.find("-P FORWARD ACCEPT") == std::string::npos;
}

}  // namespace

void open_forwarding(const std::string& bridge) {
  if (!forwards_nothing()) return;
  for (const Words& rule : rules_of(bridge)) {
    if (succeeds("-C", rule) || succeeds("-I", rule)) continue;
    log_warn("iptables would not let packets of '{}' through; steps may be without network", bridge);
  }
}

void close_forwarding(const std::string& bridge) {
  if (!forwards_nothing()) return;
  for (const Words& rule : rules_of(bridge)) (void)succeeds("-D", rule);
}

}  // namespace kiln::sandbox
