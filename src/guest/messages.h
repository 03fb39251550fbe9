// The types of frontend/bridge.h as requests of LLBBridge, and its answers as those types: the other
// way round than the daemon's side does it.
#pragma once

#include <optional>
#include <string>

#include "base/platform.h"
#include "base/status.h"
#include "frontend/bridge.h"

namespace fsutil::types {
class Stat;
}
namespace google::rpc {
class Status;
}
namespace grpc {
class Status;
}
namespace moby::buildkit::v1::frontend {
class PongResponse;
class ResolveImageConfigRequest;
class ResolveSourceMetaRequest;
class ResolveSourceMetaResponse;
class SolveRequest;
class WarnRequest;
}  // namespace moby::buildkit::v1::frontend

namespace kiln::guest {

Status fill(const frontend::SolveRequest& from, moby::buildkit::v1::frontend::SolveRequest& to);
Status fill(const std::string& ref, const frontend::ResolveOptions& from,
            moby::buildkit::v1::frontend::ResolveImageConfigRequest& to);
Status fill(const graph::SourceOp& source, const std::optional<Platform>& platform,
            const frontend::ResolveOptions& from, moby::buildkit::v1::frontend::ResolveSourceMetaRequest& to);
void fill(const frontend::Warning& from, moby::buildkit::v1::frontend::WarnRequest& to);

frontend::SourceMeta read(const moby::buildkit::v1::frontend::ResolveSourceMetaResponse& from);
frontend::FileStat read(const fsutil::types::Stat& from);
// Workers and caps.
void read(const moby::buildkit::v1::frontend::PongResponse& from, frontend::BuildOptions& to);

// A call's outcome; the daemon's typed details travel along and go back to it with an error.
Status from_call(const grpc::Status& status);
void to_message(const Status& status, google::rpc::Status& out);

}  // namespace kiln::guest
