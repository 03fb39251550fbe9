// A TCP connection to a server, from the network namespace that a proxy's traffic leaves by.
//
//   KILN_ASSIGN_OR_RETURN(host::Fd socket, dial("example.com", 443, egress_namespace, stopped));
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "host/fd.h"
#include "host/wake.h"

namespace kiln::sandbox::proxy {

// The name is looked up as this process does it, since its resolver may listen on loopback; the
// connection is made in `network_namespace` (-1: this process's own), address after address, each
// with half a minute. Blocks; looking up is not interrupted by `stopped`, connecting is.
Result<host::Fd> dial(const std::string& host, std::uint16_t port, int network_namespace, const host::Wake& stopped);

}  // namespace kiln::sandbox::proxy
