// Masquerading: what a private subnet sends out leaves with the machine's own address. One nf_tables
// table of ours, so that nobody else's rules are touched.
//
//   KILN_RETURN_IF_ERROR(masquerade("kiln-buildkit0", {.base = …, .prefix = 16}, "buildkit0"));
//   remove_masquerade("kiln-buildkit0");
#pragma once

#include <string>

#include "base/status.h"
#include "host/netlink.h"

namespace kiln::host {

// Packets from `subnet` that leave by any interface but `inside` are masqueraded. Replaces a table of
// the same name. Needs CAP_NET_ADMIN and nf_tables in the kernel.
Status masquerade(const std::string& table, Subnet subnet, const std::string& inside);
// Fine when there is none.
void remove_masquerade(const std::string& table);
// Lets this machine pass packets on (net.ipv4.ip_forward).
Status allow_forwarding();

}  // namespace kiln::host
