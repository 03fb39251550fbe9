#include "client/internal/messages.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/timestamp.h"
#include "client/go_template.h"
#include "graph/message_fields.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;
namespace pbuf = google::protobuf;
using Json = nlohmann::ordered_json;

enum class Unset { kLeaveOut, kSilent };
Json to_json(const pbuf::Message& message, Unset unset);

Json field_json(const pbuf::Message& message, const pbuf::FieldDescriptor* field, Unset unset) {
  return graph::field_json<Json>(message, field, [unset](const pbuf::Message& inner) { return to_json(inner, unset); });
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
      out[field->name()] = field_json(message, field, Unset::kLeaveOut);
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
