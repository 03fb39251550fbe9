#include "content/internal/json_read.h"

namespace kiln::content::internal {
namespace {

Status wrong_type(const char* name, const char* wanted) {
  return malformed(fmt::format("field '{}' is not {}", name, wanted));
}

const Json* find(const Json& object, const char* name) {
  auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace

Result<Json> parse_object(std::string_view text, std::string_view what) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return malformed(fmt::format("{} is not valid JSON", what));
  if (!json.is_object()) return malformed(fmt::format("{} is not a JSON object", what));
  return json;
}

Status get(const Json& object, const char* name, std::string& out) {
  const Json* value = find(object, name);
  if (!value) return ok();
  if (!value->is_string()) return wrong_type(name, "a string");
  out = value->get_ref<const std::string&>();
  return ok();
}

Status get(const Json& object, const char* name, std::int64_t& out) {
  const Json* value = find(object, name);
  if (!value) return ok();
  if (!value->is_number_integer()) return wrong_type(name, "an integer");
  out = value->get<std::int64_t>();
  return ok();
}

Status get(const Json& object, const char* name, bool& out) {
  const Json* value = find(object, name);
  if (!value) return ok();
  if (!value->is_boolean()) return wrong_type(name, "true or false");
  out = value->get<bool>();
  return ok();
}

Status get(const Json& object, const char* name, std::vector<std::string>& out) {
  const Json* value = find(object, name);
  if (!value) return ok();
  if (!value->is_array()) return wrong_type(name, "a list of strings");
  out.clear();
  for (const Json& item : *value) {
    if (!item.is_string()) return wrong_type(name, "a list of strings");
    out.push_back(item.get_ref<const std::string&>());
  }
  return ok();
}

Status get(const Json& object, const char* name, StringMap& out) {
  const Json* value = find(object, name);
  if (!value) return ok();
  if (!value->is_object()) return wrong_type(name, "an object of strings");
  out.clear();
  for (auto it = value->begin(); it != value->end(); ++it) {
    if (!it.value().is_string()) return wrong_type(name, "an object of strings");
    out[it.key()] = it.value().get_ref<const std::string&>();
  }
  return ok();
}

Status get(const Json& object, const char* name, Digest& out) {
  std::string text;
  KILN_RETURN_IF_ERROR(get(object, name, text));
  if (text.empty()) return ok();
  auto digest = Digest::parse(text);
  if (!digest.ok()) return malformed(fmt::format("field '{}' is not a digest: '{}'", name, text));
  out = *std::move(digest);
  return ok();
}

const Json* member(const Json& object, const char* name) {
  const Json* value = find(object, name);
  return value && value->is_structured() ? value : nullptr;
}

Result<Platform> platform_of(const Json& object) {
  Platform platform;
  KILN_RETURN_IF_ERROR(get(object, "architecture", platform.architecture));
  KILN_RETURN_IF_ERROR(get(object, "os", platform.os));
  KILN_RETURN_IF_ERROR(get(object, "os.version", platform.os_version));
  KILN_RETURN_IF_ERROR(get(object, "os.features", platform.os_features));
  KILN_RETURN_IF_ERROR(get(object, "variant", platform.variant));
  return platform;
}

}  // namespace kiln::content::internal
