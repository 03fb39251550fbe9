// Small shared work of the commands that print the daemon's answers. Private to the room.
#pragma once

#include <functional>
#include <string>

#include "client/internal/commands.h"

namespace google::protobuf {
class Message;
class Timestamp;
}  // namespace google::protobuf
namespace moby::buildkit::v1 {
class UpdateBuildHistoryRequest;
}

namespace kiln::client {

// Changes a build's record: pins, deletes or completes it.
Status update_record(const Invocation& call, const Connection& connection,
                     const moby::buildkit::v1::UpdateBuildHistoryRequest& request);

// JSON as --format prints it, with a line end.
Status print_formatted(const std::string& format, const std::string& json);

std::string rfc3339(const google::protobuf::Timestamp& time);        // UTC, nanoseconds as needed
std::string rfc3339_local(const google::protobuf::Timestamp& time);  // local zone, seconds
std::string go_time(const google::protobuf::Timestamp& time);        // "2006-01-02 15:04:05.999 +0000 UTC"
std::string go_duration(std::int64_t nanoseconds);                   // "48h0m0s", "1.5s"

// A message as Go's encoding/json prints its generated struct: fields named as in the .proto, empty
// ones left out, bytes in base64, 64-bit numbers as numbers, times as {seconds, nanos}.
std::string message_json(const google::protobuf::Message& message);
// The same for a template, where the fields left out stand under kSilentFields.
std::string template_json(const google::protobuf::Message& message);

// A blob of the daemon's content store: whole, or to standard output.
Result<std::string> read_blob(const Invocation& call, const Connection& connection, const std::string& digest);
Status print_blob(const Invocation& call, const Connection& connection, const std::string& digest);

}  // namespace kiln::client
