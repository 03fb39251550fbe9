// One run of dockerfile.v0: what all its parts share.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "frontend/bridge.h"
#include "frontend/dockerfile/contexts.h"
#include "frontend/dockerfile/lint.h"
#include "frontend/dockerfile/lower/lowering.h"
#include "frontend/dockerfile/places.h"
#include "frontend/dockerfile/request.h"
#include "frontend/dockerfile/resolve_cache.h"

namespace kiln::frontend::dockerfile {

// Lives for one call of the frontend; any thread.
struct BuildRun {
  explicit BuildRun(Bridge& given) : bridge(given) {}
  ResolveCache bridge;
  Request request;
  std::unique_ptr<Contexts> contexts;
  BuildFile build_file;

  // Options for lowering to one platform; `warn` may be empty.
  LowerOptions lower_options(std::optional<Platform> platform, Linter::Warn warn) const {
    return {.contexts = contexts.get(),
            .text = build_file.text,
            .target_platform = std::move(platform),
            .warn = std::move(warn)};
  }
  // Sends a finding to the client as a warning at the build file's vertex.
  Linter::Warn warn_client();
};

// ---- the parts ----------------------------------------------------------------------------

// "frontend.caps": what the client insists on. Unimplemented naming the first cap we lack; `forward`
// tells whether another frontend may still be asked.
struct CapsCheck {
  Status status;
  bool forward = false;
};
CapsCheck check_frontend_caps(const std::string& wanted);

// Hands the build to the frontend that the file or an option names; nothing when they name none.
Result<std::optional<SolveResult>> forward_build(BuildRun& run, std::stop_token stop);

// Answers a "requestid"; nothing when there is none. Unimplemented with detail for unknown ones.
Result<std::optional<SolveResult>> answer_subrequest(BuildRun& run, std::stop_token stop);

// Lowers and solves every platform, adds attestations.
Result<SolveResult> build_platforms(BuildRun& run, std::stop_token stop);

}  // namespace kiln::frontend::dockerfile
