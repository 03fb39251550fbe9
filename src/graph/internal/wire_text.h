// Deterministic bytes of a protobuf message: fields by number, maps sorted by key.
#pragma once

#include <string>

namespace google::protobuf {
class MessageLite;
}

namespace kiln::graph::internal {

std::string serialize(const google::protobuf::MessageLite& message);

}  // namespace kiln::graph::internal
