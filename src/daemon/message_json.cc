#include "daemon/message_json.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "graph/message_fields.h"

namespace kiln::daemon {
namespace {

namespace pbuf = google::protobuf;
using Json = nlohmann::json;

// The object that holds the kinds of a message in the style of LLB; "" when it has none.
std::string kinds_key(const pbuf::Message& message) {
  const std::string& name = message.GetDescriptor()->full_name();
  if (name == "pb.Op") return "Op";
  if (name == "pb.FileAction") return "Action";
  if (name == "pb.UserOpt") return "User";
  return "";
}

}  // namespace

Json to_json(const pbuf::Message& message, JsonStyle style) {
  std::vector<const pbuf::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  const std::string key = style == JsonStyle::kLlb ? kinds_key(message) : "";
  Json out = Json::object();
  if (!key.empty()) out[key] = Json::object();
  if (key == "Action") out.update({{"input", 0}, {"secondaryInput", 0}, {"output", 0}});
  for (const pbuf::FieldDescriptor* field : fields) {
    const bool kind = !key.empty() && field->containing_oneof() != nullptr;
    const std::string name = kind && field->name() == "byID" ? "byId" : field->name();
    (kind ? out[key] : out)[name] =
        graph::field_json<Json>(message, field, [style](const pbuf::Message& inner) { return to_json(inner, style); });
  }
  return out;
}

std::string to_json_text(const pbuf::Message& message, JsonStyle style) {
  return to_json(message, style).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace kiln::daemon
