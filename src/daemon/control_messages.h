// Requests and answers of Control as our own types.
#pragma once

#include "base/status.h"
#include "daemon/builds.h"
#include "frontend/bridge.h"
#include "history/record.h"
#include "store/gc.h"

namespace moby::buildkit::v1 {
class SolveRequest;
class SolveResponse;
class PruneRequest;
class UsageRecord;
class BuildHistoryEvent;
namespace types {
class WorkerRecord;
class BuildkitVersion;
}  // namespace types
}  // namespace moby::buildkit::v1

namespace kiln::daemon {

// Older forms (one exporter, export and import references) become today's. InvalidArgument for
// definitions that do not parse and for cache exports given twice.
Result<SolveRequest> from_message(const moby::buildkit::v1::SolveRequest& in);
void to_message(const SolveResponse& response, moby::buildkit::v1::SolveResponse& out);
store::PruneOptions from_message(const moby::buildkit::v1::PruneRequest& in);
void to_message(const store::Usage& usage, moby::buildkit::v1::UsageRecord& out);
void to_message(const history::Event& event, moby::buildkit::v1::BuildHistoryEvent& out);
void to_message(const frontend::WorkerInfo& worker, const std::vector<store::PruneOptions>& policy,
                moby::buildkit::v1::types::WorkerRecord& out);
void fill_version(moby::buildkit::v1::types::BuildkitVersion& out);

}  // namespace kiln::daemon
