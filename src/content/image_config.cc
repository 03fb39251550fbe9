#include "content/image_config.h"

#include "content/internal/json_read.h"
#include "content/json_text.h"

namespace kiln::content {
namespace {

using internal::get;
using internal::Json;

Status get(const Json& object, const char* name, std::optional<Time>& out) {
  std::string text;
  KILN_RETURN_IF_ERROR(internal::get(object, name, text));
  if (text.empty()) return ok();
  auto time = parse_rfc3339(text);
  if (!time.ok()) return internal::malformed(fmt::format("field '{}' is not a time: '{}'", name, text));
  out = *time;
  return ok();
}

Status get_names(const Json& object, const char* name, std::set<std::string>& out) {
  const Json* set = internal::member(object, name);
  if (!set) return ok();
  if (!set->is_object()) return internal::malformed(fmt::format("field '{}' is not an object", name));
  for (auto it = set->begin(); it != set->end(); ++it) out.insert(it.key());
  return ok();
}

Result<Healthcheck> healthcheck_of(const Json& object) {
  Healthcheck h;
  std::int64_t retries = 0;
  KILN_RETURN_IF_ERROR(get(object, "Test", h.test));
  KILN_RETURN_IF_ERROR(get(object, "Interval", h.interval_ns));
  KILN_RETURN_IF_ERROR(get(object, "Timeout", h.timeout_ns));
  KILN_RETURN_IF_ERROR(get(object, "StartPeriod", h.start_period_ns));
  KILN_RETURN_IF_ERROR(get(object, "StartInterval", h.start_interval_ns));
  KILN_RETURN_IF_ERROR(get(object, "Retries", retries));
  h.retries = static_cast<int>(retries);
  return h;
}

Result<ContainerConfig> container_config_of(const Json& object) {
  ContainerConfig c;
  KILN_RETURN_IF_ERROR(get(object, "User", c.user));
  KILN_RETURN_IF_ERROR(get_names(object, "ExposedPorts", c.exposed_ports));
  KILN_RETURN_IF_ERROR(get(object, "Env", c.env));
  KILN_RETURN_IF_ERROR(get(object, "Entrypoint", c.entrypoint));
  KILN_RETURN_IF_ERROR(get(object, "Cmd", c.cmd));
  KILN_RETURN_IF_ERROR(get_names(object, "Volumes", c.volumes));
  KILN_RETURN_IF_ERROR(get(object, "WorkingDir", c.working_dir));
  KILN_RETURN_IF_ERROR(get(object, "Labels", c.labels));
  KILN_RETURN_IF_ERROR(get(object, "StopSignal", c.stop_signal));
  KILN_RETURN_IF_ERROR(get(object, "ArgsEscaped", c.args_escaped));
  KILN_RETURN_IF_ERROR(get(object, "OnBuild", c.on_build));
  KILN_RETURN_IF_ERROR(get(object, "Shell", c.shell));
  if (const Json* h = internal::member(object, "Healthcheck")) {
    KILN_ASSIGN_OR_RETURN(c.healthcheck, healthcheck_of(*h));
  }
  return c;
}

Result<std::vector<HistoryEntry>> history_of(const Json& object) {
  std::vector<HistoryEntry> out;
  const Json* list = internal::member(object, "history");
  if (!list) return out;
  for (const Json& item : *list) {
    if (!item.is_object()) return internal::malformed("a history entry is not an object");
    HistoryEntry h;
    KILN_RETURN_IF_ERROR(get(item, "created", h.created));
    KILN_RETURN_IF_ERROR(get(item, "created_by", h.created_by));
    KILN_RETURN_IF_ERROR(get(item, "author", h.author));
    KILN_RETURN_IF_ERROR(get(item, "comment", h.comment));
    KILN_RETURN_IF_ERROR(get(item, "empty_layer", h.empty_layer));
    out.push_back(std::move(h));
  }
  return out;
}

Status read_rootfs(const Json& object, ImageConfig& image) {
  const Json* rootfs = internal::member(object, "rootfs");
  if (!rootfs) return ok();
  if (!rootfs->is_object()) return internal::malformed("field 'rootfs' is not an object");
  KILN_RETURN_IF_ERROR(get(*rootfs, "type", image.rootfs_type));
  std::vector<std::string> ids;
  KILN_RETURN_IF_ERROR(get(*rootfs, "diff_ids", ids));
  for (const auto& text : ids) {
    auto id = Digest::parse(text);
    if (!id.ok()) return internal::malformed(fmt::format("diff id '{}' is not a digest", text));
    image.diff_ids.push_back(*std::move(id));
  }
  return ok();
}

void time_if(JsonWriter& w, const char* name, const std::optional<Time>& time) {
  if (time) w.string_if(name, format_rfc3339(*time));
}

void names_if(JsonWriter& w, const char* name, const std::set<std::string>& names) {
  if (names.empty()) return;
  w.key(name);
  w.begin_object();
  for (const auto& n : names) {
    w.key(n);
    w.begin_object();
    w.end_object();
  }
  w.end_object();
}

void integer_if(JsonWriter& w, const char* name, std::int64_t value) {
  if (value == 0) return;
  w.key(name);
  w.integer(value);
}

void write_rootfs(JsonWriter& w, const std::string& type, const std::vector<Digest>& diff_ids) {
  w.begin_object();
  w.key("type");
  w.string(type);
  w.key("diff_ids");
  if (diff_ids.empty()) {
    w.null();
  } else {
    w.begin_array();
    for (const auto& id : diff_ids) w.string(id.str());
    w.end_array();
  }
  w.end_object();
}

void write_history(JsonWriter& w, const std::vector<HistoryEntry>& history) {
  w.begin_array();
  for (const auto& h : history) {
    w.begin_object();
    time_if(w, "created", h.created);
    w.string_if("created_by", h.created_by);
    w.string_if("author", h.author);
    w.string_if("comment", h.comment);
    if (h.empty_layer) {
      w.key("empty_layer");
      w.boolean(true);
    }
    w.end_object();
  }
  w.end_array();
}

void write_healthcheck(JsonWriter& w, const Healthcheck& h) {
  w.begin_object();
  w.strings_if("Test", h.test);
  integer_if(w, "Interval", h.interval_ns);
  integer_if(w, "Timeout", h.timeout_ns);
  integer_if(w, "StartPeriod", h.start_period_ns);
  integer_if(w, "StartInterval", h.start_interval_ns);
  integer_if(w, "Retries", h.retries);
  w.end_object();
}

void write_container_config(JsonWriter& w, const ContainerConfig& c) {
  w.begin_object();
  w.string_if("User", c.user);
  names_if(w, "ExposedPorts", c.exposed_ports);
  w.strings_if("Env", c.env);
  w.strings_if("Entrypoint", c.entrypoint);
  w.strings_if("Cmd", c.cmd);
  names_if(w, "Volumes", c.volumes);
  w.string_if("WorkingDir", c.working_dir);
  w.map_if("Labels", c.labels);
  w.string_if("StopSignal", c.stop_signal);
  if (c.args_escaped) {
    w.key("ArgsEscaped");
    w.boolean(true);
  }
  if (c.healthcheck) {
    w.key("Healthcheck");
    write_healthcheck(w, *c.healthcheck);
  }
  w.strings_if("OnBuild", c.on_build);
  w.strings_if("Shell", c.shell);
  w.end_object();
}

constexpr std::string_view kNull = "null";
Status null_config() { return user_error(Code::kFailedPrecondition, "invalid null image config for export"); }

}  // namespace

Result<ImageConfig> parse_image_config(std::string_view json) {
  if (json == kNull) return null_config();
  KILN_ASSIGN_OR_RETURN(Json object, internal::parse_object(json, "image config"));
  ImageConfig image;
  KILN_RETURN_IF_ERROR(get(object, "created", image.created));
  KILN_RETURN_IF_ERROR(get(object, "author", image.author));
  KILN_ASSIGN_OR_RETURN(image.platform, internal::platform_of(object));
  if (const Json* config = internal::member(object, "config")) {
    KILN_ASSIGN_OR_RETURN(image.config, container_config_of(*config));
  }
  KILN_RETURN_IF_ERROR(read_rootfs(object, image));
  KILN_ASSIGN_OR_RETURN(image.history, history_of(object));
  return image;
}

std::string to_json(const ImageConfig& image) {
  JsonWriter w;
  w.begin_object();
  time_if(w, "created", image.created);
  w.string_if("author", image.author);
  w.key("architecture");
  w.string(image.platform.architecture);
  w.key("os");
  w.string(image.platform.os);
  w.string_if("os.version", image.platform.os_version);
  w.strings_if("os.features", image.platform.os_features);
  w.string_if("variant", image.platform.variant);
  w.key("rootfs");
  write_rootfs(w, image.rootfs_type, image.diff_ids);
  if (!image.history.empty()) {
    w.key("history");
    write_history(w, image.history);
  }
  w.key("config");
  write_container_config(w, image.config);
  w.end_object();
  return w.take();
}

std::string to_json(const std::vector<HistoryEntry>& history) {
  if (history.empty()) return "null";
  JsonWriter w;
  write_history(w, history);
  return w.take();
}

std::string rootfs_json(const std::vector<Digest>& diff_ids) {
  JsonWriter w;
  write_rootfs(w, "layers", diff_ids);
  return w.take();
}

Result<ConfigDocument> ConfigDocument::parse(std::string_view json) {
  if (!Json::accept(json.begin(), json.end())) {
    return user_error(Code::kFailedPrecondition, "image config is not valid JSON");
  }
  auto members = json_members(json);
  if (!members.ok()) {
    if (json == kNull) return null_config();
    return user_error(Code::kFailedPrecondition, "image config is not a JSON object");
  }
  ConfigDocument document;
  for (auto& [key, value] : *members) document.values_[std::move(key)] = std::move(value);
  return document;
}

const std::string* ConfigDocument::find(const std::string& key) const {
  auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

std::string ConfigDocument::to_json() const {
  JsonWriter w;
  w.begin_object();
  for (const auto& [key, value] : values_) {
    w.key(key);
    w.raw(value);
  }
  w.end_object();
  return w.take();
}

}  // namespace kiln::content
