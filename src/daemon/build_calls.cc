#include "daemon/build_calls.h"

#include <fmt/format.h>

#include <chrono>

#include "base/clock.h"
#include "base/text.h"
#include "daemon/calls.h"
#include "daemon/control_messages.h"
#include "daemon/status_wire.h"
#include "wire/control.pb.h"

namespace kiln::daemon {
namespace {

// Sent by clients that want to read in each step's log why it runs.
constexpr std::string_view kExplainField = "kiln-explain";
constexpr auto kBuildPatience = std::chrono::seconds(6);

Result<std::shared_ptr<StatusLog>> recorded_log(const ServiceGround& ground, const history::Record& record) {
  if (!record.logs) return StatusLog::recorded(nullptr);
  KILN_ASSIGN_OR_RETURN(Digest digest, Digest::parse(record.logs->digest));
  KILN_ASSIGN_OR_RETURN(auto reader, ground.history->blobs().open(digest));
  return StatusLog::recorded(std::move(reader));
}

// A build that ended, or one that is about to begin.
Result<std::shared_ptr<StatusLog>> other_log(const ServiceGround& ground, const std::string& ref,
                                             std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::optional<history::Record> record, ground.history->find(ref));
  if (record) return recorded_log(ground, *record);
  if (auto late = ground.builds->wait_for_status_log(ref, stop, kBuildPatience)) return late;
  return user_error(Code::kNotFound, fmt::format("no such job {}", ref));
}

}  // namespace

std::string current_timestamp() { return format_rfc3339(system_clock().now()); }

void begin_solve(const ServiceGround& ground, const moby::buildkit::v1::SolveRequest& message,
                 const http2::Fields& fields, std::stop_token stop, std::function<void(Result<SolveResponse>)> done) {
  Result<SolveRequest> request = from_message(message);
  if (!request.ok()) return done(request.status());
  request->trace_parent = http2::field_of(fields, "traceparent").value_or("");
  request->explain |= http2::field_of(fields, kExplainField).has_value();
  ground.builds->solve(*std::move(request), std::move(stop),
                       [after = ground.after_build, done = std::move(done)](Result<SolveResponse> response) {
                         if (!response.ok()) response = without_code(response.status());
                         done(std::move(response));
                         if (after) after();
                       });
}

void begin_status(const ServiceGround& ground, const std::string& ref, std::shared_ptr<StatusFeed> feed) {
  if (auto log = ground.builds->status_log(ref)) return feed->follow(std::move(log));
  ground.pool->submit([ground, ref, feed = std::move(feed)] {
    std::shared_ptr<StatusLog> log;
    const Status status = guarded([&]() -> Status {
      KILN_ASSIGN_OR_RETURN(log, other_log(ground, ref, feed->stop_token()));
      return ok();
    });
    log_failure("Status", status);
    if (status.ok()) {
      feed->follow(std::move(log));
    } else {
      feed->fail(status);
    }
  });
}

}  // namespace kiln::daemon
