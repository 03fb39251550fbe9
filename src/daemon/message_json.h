// Messages as JSON the way Go programs read them: field names as in the .proto, 64-bit numbers as
// numbers, enums as numbers, bytes as base64, defaults left out. protobuf's own printer quotes 64-bit
// numbers, which Go's encoding/json refuses.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace kiln::daemon {

enum class JsonStyle {
  kProto,  // oneofs as their fields, as protojson and encoding/json read error details
  kLlb,    // ops as BuildKit prints them in provenance: the kinds of Op, FileAction and UserOpt in an
           // object of their own
};

nlohmann::json to_json(const google::protobuf::Message& message, JsonStyle style);
std::string to_json_text(const google::protobuf::Message& message, JsonStyle style);

}  // namespace kiln::daemon
