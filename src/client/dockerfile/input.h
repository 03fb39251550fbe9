// CONTEXT, -f and the other words that `kiln check` and `kiln explain` share, as a frontend takes
// them.
//
//   KILN_ASSIGN_OR_RETURN(DockerfileInput input, read_dockerfile_input(call));
//   LocalBridge bridge(input.bridge);
#pragma once

#include <string>

#include "client/dockerfile/local_bridge.h"
#include "client/internal/commands.h"

namespace kiln::client {

struct DockerfileInput {
  LocalBridgeOptions bridge;
  std::string context;  // the directory
  std::string path;     // of the Dockerfile, as one would open it; "-" for standard input
};

// A directory, or the path of a Dockerfile (its directory is the context then); "." without any.
// NotFound when there is no Dockerfile; InvalidArgument for more than one argument.
Result<DockerfileInput> read_dockerfile_input(const Invocation& call);

// Runs the same again with another build argument.
LocalBridgeOptions with_build_arg(LocalBridgeOptions options, const std::string& name, const std::string& value);

}  // namespace kiln::client
