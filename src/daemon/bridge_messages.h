// Requests and answers of LLBBridge as the types of frontend/bridge.h.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/platform.h"
#include "base/status.h"
#include "daemon/gateway.h"
#include "frontend/bridge.h"

namespace fsutil::types {
class Stat;
}
namespace pb {
class Platform;
}
namespace moby::buildkit::v1::apicaps {
class APICap;
}
namespace moby::buildkit::v1::frontend {
class ResolveImageConfigRequest;
class ResolveSourceMetaRequest;
class ResolveSourceMetaResponse;
class Result;
class SolveRequest;
class WarnRequest;
}  // namespace moby::buildkit::v1::frontend

namespace kiln::daemon {

std::optional<Platform> from_message(const pb::Platform* in);
Result<frontend::SolveRequest> from_message(const moby::buildkit::v1::frontend::SolveRequest& in);
frontend::ResolveOptions from_message(const moby::buildkit::v1::frontend::ResolveImageConfigRequest& in);
frontend::ResolveOptions from_message(const moby::buildkit::v1::frontend::ResolveSourceMetaRequest& in);
frontend::Warning from_message(const moby::buildkit::v1::frontend::WarnRequest& in);
// Refs are those that the gateway gave out; NotFound for others.
Result<frontend::SolveResult> from_message(const moby::buildkit::v1::frontend::Result& in, Gateway& gateway);

void to_message(const frontend::SourceMeta& meta, moby::buildkit::v1::frontend::ResolveSourceMetaResponse& out);
void to_message(const frontend::FileStat& stat, fsutil::types::Stat& out);
void to_message(const graph::ApiCap& cap, moby::buildkit::v1::apicaps::APICap& out);
// Refs get ids of the gateway. `with_definitions`: the caller understands refs with their graphs.
Status to_message(const frontend::SolveResult& result, bool with_definitions, Gateway& gateway,
                  moby::buildkit::v1::frontend::Result& out);

}  // namespace kiln::daemon
