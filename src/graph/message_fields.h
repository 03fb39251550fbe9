// Fields of protobuf messages as JSON the way Go's encoding/json and protojson readers take them: 64-bit numbers and
// enums as numbers, bytes as base64, maps by key. What a message within is shown as, its reader says.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <utility>

#include "base/base64.h"

namespace kiln::graph {

// One value; index < 0: of a field that is not repeated. `Json` is one of nlohmann's, `inner` gives it for a message.
// Pure, as far as `inner` is; any thread.
template <typename Json, typename Inner>
Json value_json(const google::protobuf::Message& m, const google::protobuf::FieldDescriptor* f, int index,
                const Inner& inner) {
  const google::protobuf::Reflection* r = m.GetReflection();
  using Field = google::protobuf::FieldDescriptor;
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
    case Field::CPPTYPE_MESSAGE: return inner(many ? r->GetRepeatedMessage(m, f, index) : r->GetMessage(m, f));
    case Field::CPPTYPE_STRING: {
      std::string text = many ? r->GetRepeatedString(m, f, index) : r->GetString(m, f);
      return f->type() == Field::TYPE_BYTES ? base64_encode(text) : text;
    }
  }
  return nullptr;
}

// The whole field: a value, a list, or an object for a map.
template <typename Json, typename Inner>
Json field_json(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor* field,
                const Inner& inner) {
  if (!field->is_repeated()) return value_json<Json>(message, field, -1, inner);
  const google::protobuf::Reflection* reflection = message.GetReflection();
  Json out = field->is_map() ? Json::object() : Json::array();
  std::map<std::string, Json> sorted;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (!field->is_map()) {
      out.push_back(value_json<Json>(message, field, i, inner));
      continue;
    }
    const google::protobuf::Message& entry = reflection->GetRepeatedMessage(message, field, i);
    const Json key = value_json<Json>(entry, entry.GetDescriptor()->map_key(), -1, inner);
    sorted[key.is_string() ? key.template get<std::string>() : key.dump()] =
        value_json<Json>(entry, entry.GetDescriptor()->map_value(), -1, inner);
  }
  for (auto& [key, value] : sorted) out[key] = std::move(value);
  return out;
}

}  // namespace kiln::graph
