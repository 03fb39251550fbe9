// Events as the messages of Control.Status. Generated types are named in .cc files only.
#pragma once

#include "base/clock.h"
#include "event/event.h"

namespace google::protobuf {
class Timestamp;
}
namespace moby::buildkit::v1 {
class Vertex;
class VertexStatus;
class VertexLog;
class VertexWarning;
}  // namespace moby::buildkit::v1

namespace kiln::daemon {

void to_message(Time time, google::protobuf::Timestamp& out);
Time from_message(const google::protobuf::Timestamp& in);
void to_message(const event::Vertex& vertex, moby::buildkit::v1::Vertex& out);
void to_message(const event::VertexStatus& status, moby::buildkit::v1::VertexStatus& out);
void to_message(const event::VertexLog& log, moby::buildkit::v1::VertexLog& out);
void to_message(const event::VertexWarning& warning, moby::buildkit::v1::VertexWarning& out);

}  // namespace kiln::daemon
