// Deterministic bytes of a protobuf message: fields by number, maps sorted by key.
#pragma once

#include <string>

namespace google::protobuf {
class MessageLite;
}

namespace kiln::graph::internal {

std::string serialize(const google::protobuf::MessageLite& message);
// The same behind what is there.
void append(const google::protobuf::MessageLite& message, std::string& bytes);

}  // namespace kiln::graph::internal
