#include "daemon/message_json.h"

#include <google/protobuf/descriptor.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace kiln::daemon {
namespace {

namespace pbuf = google::protobuf;
using Json = nlohmann::json;

std::string base64(const std::string& bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k <= bytes.size() ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

// One value; index < 0: of a field that is not repeated.
Json value_to_json(const pbuf::Message& m, const pbuf::FieldDescriptor* f, int index, JsonStyle style) {
  const pbuf::Reflection* r = m.GetReflection();
  using Field = pbuf::FieldDescriptor;
  const bool many = index >= 0;
  switch (f->cpp_type()) {
    case Field::CPPTYPE_INT32: return many ? r->GetRepeatedInt32(m, f, index) : r->GetInt32(m, f);
    case Field::CPPTYPE_INT64: return many ? r->GetRepeatedInt64(m, f, index) : r->GetInt64(m, f);
    case Field::CPPTYPE_UINT32: return many ? r->GetRepeatedUInt32(m, f, index) : r->GetUInt32(m, f);
    case Field::CPPTYPE_UINT64: return many ? r->GetRepeatedUInt64(m, f, index) : r->GetUInt64(m, f);
    case Field::CPPTYPE_DOUBLE: return many ? r->GetRepeatedDouble(m, f, index) : r->GetDouble(m, f);
    case Field::CPPTYPE_FLOAT: return many ? r->GetRepeatedFloat(m, f, index) : r->GetFloat(m, f);
    case Field::CPPTYPE_BOOL: return many ? r->GetRepeatedBool(m, f, index) : r->GetBool(m, f);
    case Field::CPPTYPE_ENUM: return many ? r->GetRepeatedEnumValue(m, f, index) : r->GetEnumValue(m, f);
    case Field::CPPTYPE_MESSAGE: return to_json(many ? r->GetRepeatedMessage(m, f, index) : r->GetMessage(m, f), style);
    case Field::CPPTYPE_STRING: {
      std::string text = many ? r->GetRepeatedString(m, f, index) : r->GetString(m, f);
      return f->type() == Field::TYPE_BYTES ? base64(text) : text;
    }
  }
  return nullptr;
}

Json field_to_json(const pbuf::Message& message, const pbuf::FieldDescriptor* field, JsonStyle style) {
  if (!field->is_repeated()) return value_to_json(message, field, -1, style);
  const pbuf::Reflection* reflection = message.GetReflection();
  Json out = field->is_map() ? Json::object() : Json::array();
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (!field->is_map()) {
      out.push_back(value_to_json(message, field, i, style));
      continue;
    }
    const pbuf::Message& entry = reflection->GetRepeatedMessage(message, field, i);
    const Json key = value_to_json(entry, entry.GetDescriptor()->map_key(), -1, style);
    out[key.is_string() ? key.get<std::string>() : key.dump()] =
        value_to_json(entry, entry.GetDescriptor()->map_value(), -1, style);
  }
  return out;
}

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
    (kind ? out[key] : out)[name] = field_to_json(message, field, style);
  }
  return out;
}

std::string to_json_text(const pbuf::Message& message, JsonStyle style) {
  return to_json(message, style).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace kiln::daemon
