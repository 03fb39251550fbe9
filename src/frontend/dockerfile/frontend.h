// dockerfile.v0: a Dockerfile and its options become graphs, are solved and returned with image
// configs. This is the door of the folder; everything else in it is private to it.
//
//   auto frontend = dockerfile::make_frontend();
//   KILN_ASSIGN_OR_RETURN(SolveResult result, frontend->build(bridge, stop));
//
// Options (Bridge::options().opts) and metadata of the result are those of BuildKit's dockerfile.v0:
// "filename", "target", "platform", "build-arg:…", "label:…", "context:…", "no-cache", "requestid"
// (subrequests) and so on; results carry "containerimage.config[/platform]", "refs.platforms", …
#pragma once

#include <memory>

#include "frontend/bridge.h"

namespace kiln::frontend::dockerfile {

// Errors: user faults carry the place in the Dockerfile as detail
// "github.com/moby/buildkit/errdefs.Source" (see graph/definition.h, encode_source_ref).
std::unique_ptr<Frontend> make_frontend();

}  // namespace kiln::frontend::dockerfile
