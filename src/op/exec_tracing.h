// Letting the programs of a step continue the trace of the client that asked for the build: a socket
// to hand spans over to, and the variables by which OpenTelemetry's libraries find it.
//
//   add_tracing(ports, container, process);
#pragma once

#include "op/op_factory.h"
#include "sandbox/spec.h"

namespace kiln::op {

// Nothing when the build is not traced or the daemon has no such socket. Variables that the step has
// already are left to it.
void add_tracing(const OpPorts& ports, sandbox::ContainerSpec& container, sandbox::ProcessSpec& process);

}  // namespace kiln::op
