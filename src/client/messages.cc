#include "client/internal/messages.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/timestamp.h"
#include "client/go_template.h"
#include "content/base64.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;
namespace pbuf = google::protobuf;
using Json = nlohmann::ordered_json;

enum class Unset { kLeaveOut, kSilent };
Json to_json(const pbuf::Message& message, Unset unset);

Json value_json(const pbuf::Message& m, const pbuf::FieldDescriptor* f, int index, Unset unset) {
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
    case Field::CPPTYPE_MESSAGE: return to_json(many ? r->GetRepeatedMessage(m, f, index) : r->GetMessage(m, f), unset);
    case Field::CPPTYPE_STRING: {
      std::string text = many ? r->GetRepeatedString(m, f, index) : r->GetString(m, f);
      return f->type() == Field::TYPE_BYTES ? content::base64_encode(text) : text;
    }
  }
  return nullptr;
}

Json field_json(const pbuf::Message& message, const pbuf::FieldDescriptor* field, Unset unset) {
  const pbuf::Reflection* reflection = message.GetReflection();
  if (!field->is_repeated()) return value_json(message, field, -1, unset);
  Json out = field->is_map() ? Json::object() : Json::array();
  std::map<std::string, Json> sorted;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (!field->is_map()) {
      out.push_back(value_json(message, field, i, unset));
      continue;
    }
    const pbuf::Message& entry = reflection->GetRepeatedMessage(message, field, i);
    Json key = value_json(entry, entry.GetDescriptor()->map_key(), -1, unset);
    sorted[key.is_string() ? key.get<std::string>() : key.dump()] =
        value_json(entry, entry.GetDescriptor()->map_value(), -1, unset);
  }
  for (auto& [key, value] : sorted) out[key] = std::move(value);
  return out;
}

// For templates: what an unset field holds, and the name of an enum's value.
Json silent_fields(const pbuf::Message& message) {
  using Field = pbuf::FieldDescriptor;
  const pbuf::Reflection* reflection = message.GetReflection();
  Json out = Json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const Field* field = message.GetDescriptor()->field(i);
    if (field->is_repeated()) {
      if (reflection->FieldSize(message, field) == 0)
        out[field->name()] = field->is_map() ? Json::object() : Json::array();
    } else if (field->cpp_type() == Field::CPPTYPE_ENUM) {
      out[field->name()] = reflection->GetEnum(message, field)->name();
    } else if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
      if (!reflection->HasField(message, field)) out[field->name()] = nullptr;
    } else if (!reflection->HasField(message, field)) {
      out[field->name()] = value_json(message, field, -1, Unset::kLeaveOut);
    }
  }
  return out;
}

Json to_json(const pbuf::Message& message, Unset unset) {
  std::vector<const pbuf::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  Json out = Json::object();
  for (const pbuf::FieldDescriptor* field : fields) out[field->name()] = field_json(message, field, unset);
  if (unset == Unset::kLeaveOut) return out;
  if (Json silent = silent_fields(message); !silent.empty()) out[std::string(kSilentFields)] = std::move(silent);
  return out;
}

Time time_of(const pbuf::Timestamp& stamp) { return timestamp(stamp.seconds(), stamp.nanos()); }

}  // namespace

Status update_record(const Invocation& call, const Connection& connection,
                     const control::UpdateBuildHistoryRequest& request) {
  control::UpdateBuildHistoryResponse response;
  return connection.call(kControl + "UpdateBuildHistory", {}, request, response, call.stop);
}

Status print_formatted(const std::string& format, const std::string& json) {
  KILN_ASSIGN_OR_RETURN(GoTemplate parsed, GoTemplate::parse(format));
  KILN_ASSIGN_OR_RETURN(std::string text, parsed.render(json));
  return print(text + "\n");
}

std::string rfc3339(const pbuf::Timestamp& time) { return format_rfc3339(time_of(time)); }

std::string rfc3339_local(const pbuf::Timestamp& time) {
  std::time_t seconds = time.seconds();
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char text[64], zone[8];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  if (parts.tm_gmtoff == 0) return std::string(text) + "Z";
  strftime(zone, sizeof zone, "%z", &parts);
  return fmt::format("{}{}:{}", text, std::string_view(zone, 3), std::string_view(zone + 3, 2));
}

std::string go_time(const pbuf::Timestamp& time) {
  std::string text = rfc3339(time);
  text[text.find('T')] = ' ';
  text.pop_back();
  return text + " +0000 UTC";
}

std::string go_duration(std::int64_t nanoseconds) {
  double seconds = static_cast<double>(nanoseconds) / 1e9;
  if (seconds < 1) return fmt::format("{:g}ms", seconds * 1e3);
  std::int64_t minutes = nanoseconds / 60'000'000'000;
  std::string rest = fmt::format("{:.9g}s", seconds - static_cast<double>(minutes) * 60);
  if (minutes == 0) return rest;
  return minutes < 60 ? fmt::format("{}m{}", minutes, rest) : fmt::format("{}h{}m{}", minutes / 60, minutes % 60, rest);
}

std::string message_json(const pbuf::Message& message) {
  return to_json(message, Unset::kLeaveOut).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string template_json(const pbuf::Message& message) {
  return to_json(message, Unset::kSilent).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace kiln::client
