// Letting a bridge's packets through on machines that forward nothing by default, as those with
// Docker do. Our own nf_tables table cannot overrule another's "drop", so two rules go into the
// FORWARD chain by the iptables program, where that is installed and its policy demands it.
//
//   open_forwarding("buildkit0"); … close_forwarding("buildkit0");
#pragma once

#include <string>

namespace kiln::sandbox {

// What leaves by the bridge is accepted, and what comes back as an answer. Failing is a line in the
// log: the machine's own rules may do as well. Blocks some milliseconds where iptables is installed.
void open_forwarding(const std::string& bridge);
// Fine when there is nothing to take back.
void close_forwarding(const std::string& bridge);

}  // namespace kiln::sandbox
