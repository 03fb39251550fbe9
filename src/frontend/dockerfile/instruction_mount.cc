// RUN --mount and RUN --device values.
#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/instructions.h"

namespace kiln::frontend::dockerfile {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

template <typename Enum>
std::optional<Enum> find_name(std::string_view (*name_of)(Enum), int count, std::string_view word) {
  for (int i = 0; i < count; ++i) {
    if (name_of(static_cast<Enum>(i)) == word) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

const std::vector<std::string>& mount_keys() {
  static const std::vector<std::string> keys = {
      "type", "from", "source", "target", "readonly",    "id", "sharing", "required",  "size", "mode",
      "uid",  "gid",  "src",    "dst",    "destination", "ro", "rw",      "readwrite", "env"};
  return keys;
}

std::string key_hint(const std::string& key) {
  std::string near = suggestion_suffix(key, mount_keys(), MatchCase::kSensitive);
  return near.empty() ? "; there are " + join(mount_keys(), ", ") : near;
}

// Collects the fields of one --mount.
class MountReader {
 public:
  explicit MountReader(const Expander* expand) : expand_(expand) {}

  Status field(const std::string& field) {
    auto [raw_key, raw_value] = split_once(field, '=');
    std::string key = to_lower(raw_key);
    bool has_value = raw_key.size() < field.size();
    if (!expand_) return key == "from" && has_value ? plain_from(raw_value) : ok();
    if (!has_value) return bare(key, field);
    KILN_ASSIGN_OR_RETURN(std::string value, (*expand_)(raw_value));
    return set(key, value, field);
  }

  Result<Mount> finish() {
    if (expand_) KILN_RETURN_IF_ERROR(check());
    if (!read_only_given_) mount_.read_only = mount_.type != MountType::kCache && mount_.type != MountType::kTmpfs;
    return std::move(mount_);
  }

 private:
  Status plain_from(std::string_view value) {
    if (auto at = value.find('$'); at != std::string_view::npos && at + 1 != value.size()) {
      return word_fault(value, "'from' doesn't support variable expansion, define alias stage instead");
    }
    mount_.from = value;
    return ok();
  }

  Status bare(const std::string& key, const std::string& field) {
    if (key == "readonly" || key == "ro") return access(true);
    if (key == "readwrite" || key == "rw") return access(false);
    if (key == "required") return required(key, true);
    return word_fault(field, fmt::format("invalid field '{}' must be a key=value pair", field));
  }

  Status access(bool read_only) {
    mount_.read_only = read_only;
    read_only_given_ = true;
    return ok();
  }

  Status required(const std::string& key, bool value) {
    if (mount_.type != MountType::kSecret && mount_.type != MountType::kSsh) return misplaced(key);
    mount_.required = value;
    return ok();
  }

  Status misplaced(const std::string& key) const {
    return word_fault(key, fmt::format("unexpected key '{}' for mount type '{}'", key, mount_type_name(mount_.type)));
  }

  static Result<bool> boolean(const std::string& key, const std::string& value) {
    std::optional<bool> parsed = parse_bool(value);
    if (!parsed) return word_fault(value, fmt::format("invalid value for {}: {}", key, value));
    return *parsed;
  }

  static Status number(std::optional<std::uint32_t>& out, std::string_view key, const std::string& value, int base) {
    std::optional<std::uint64_t> parsed = parse_unsigned(value, base, UINT32_MAX);
    if (!parsed) return word_fault(value, fmt::format("invalid value {} for {}", value, key));
    out = static_cast<std::uint32_t>(*parsed);
    return ok();
  }

  Status set(const std::string& key, const std::string& value, const std::string& field) {
    if (key == "type") return type(value);
    if (key == "sharing") return sharing(value);
    if (key == "from") return assign(mount_.from, value);
    if (key == "source" || key == "src") return assign(mount_.source, value);
    if (key == "target" || key == "dst" || key == "destination") return assign(mount_.target, value);
    if (key == "id") return assign(mount_.id, value);
    if (key == "mode") return number(mount_.mode, key, value, 8);
    if (key == "uid") return number(mount_.uid, key, value, 10);
    if (key == "gid") return number(mount_.gid, key, value, 10);
    if (key == "env") {
      mount_.env = value;
      return ok();
    }
    if (key == "size") return size(key, value);
    bool reads = key == "readonly" || key == "ro";
    if (reads || key == "readwrite" || key == "rw") {
      KILN_ASSIGN_OR_RETURN(bool on, boolean(key, value));
      return access(on == reads);
    }
    if (key == "required") {
      if (mount_.type != MountType::kSecret && mount_.type != MountType::kSsh) return misplaced(key);
      KILN_ASSIGN_OR_RETURN(bool on, boolean(key, value));
      return required(key, on);
    }
    return word_fault(split_once(field, '=').first,
                      fmt::format("unexpected key '{}' in '{}'{}", key, field, key_hint(key)));
  }

  static Status assign(std::string& out, const std::string& value) {
    out = value;
    return ok();
  }

  Status type(const std::string& value) {
    std::optional<MountType> type = find_name(mount_type_name, 5, to_lower(value));
    if (!type) {
      return word_fault(value, fmt::format("unsupported mount type {}{}", quote(value),
                                           suggestion_suffix(value, {"bind", "cache", "tmpfs", "secret", "ssh"},
                                                             MatchCase::kSensitive)));
    }
    mount_.type = *type;
    return ok();
  }

  Status sharing(const std::string& value) {
    mount_.sharing = find_name(sharing_name, 3, to_lower(value));
    if (mount_.sharing) return ok();
    return word_fault(value,
                      fmt::format("unsupported sharing value {}{}", quote(value),
                                  suggestion_suffix(value, {"shared", "private", "locked"}, MatchCase::kSensitive)));
  }

  Status size(const std::string& key, const std::string& value) {
    if (mount_.type != MountType::kTmpfs) return misplaced(key);
    Result<std::int64_t> bytes = parse_size(value);
    if (!bytes.ok()) return word_fault(value, fmt::format("invalid value for {}: {}", key, value));
    mount_.size_bytes = *bytes;
    return ok();
  }

  // What only all fields together can violate.
  Status check() const {
    const Mount& m = mount_;
    std::string_view type = mount_type_name(m.type);
    bool owns_file = m.type == MountType::kSecret || m.type == MountType::kSsh || m.type == MountType::kCache;
    if (!owns_file && m.mode) return word_fault("mode", fmt::format("mode not allowed for \"{}\" type mounts", type));
    if (!owns_file && m.uid) return word_fault("uid", fmt::format("uid not allowed for \"{}\" type mounts", type));
    if (!owns_file && m.gid) return word_fault("gid", fmt::format("gid not allowed for \"{}\" type mounts", type));
    if (m.type == MountType::kSecret) {
      if (!m.from.empty()) return word_fault("from", "secret mount should not have a from");
      if (m.sharing) return word_fault("sharing", "secret mount should not define sharing");
      if (m.source.empty() && m.target.empty() && m.id.empty()) {
        return fault("invalid secret mount. one of source, target required");
      }
      if (!m.source.empty() && !m.id.empty()) return fault("both source and id can't be set");
    }
    if (m.sharing && m.type != MountType::kCache)
      return word_fault("sharing", fmt::format("invalid cache sharing set for {} mount", type));
    return ok();
  }

  const Expander* expand_;
  Mount mount_;
  bool read_only_given_ = false;
};

// One line of CSV; none is a fault, as it is to Go's reader.
Result<std::vector<std::string>> fields_of(std::string_view text, std::string_view what) {
  Result<std::vector<std::string>> fields = parse_csv(text);
  if (fields.ok() && fields->empty()) fields = fault("EOF");
  if (!fields.ok()) return annotate(fields.status(), fmt::format("failed to parse csv {}", what));
  return fields;
}

}  // namespace

Result<Mount> parse_mount(std::string_view text, const Expander* expand) {
  KILN_ASSIGN_OR_RETURN(const std::vector<std::string> fields, fields_of(text, "mounts"));
  MountReader reader(expand);
  for (const std::string& field : fields) KILN_RETURN_IF_ERROR(reader.field(field));
  return reader.finish();
}

Result<Device> parse_device(std::string_view text) {
  KILN_ASSIGN_OR_RETURN(const std::vector<std::string> fields, fields_of(text, "devices"));
  Device device;
  for (const std::string& field : fields) {
    auto [raw_key, value] = split_once(field, '=');
    std::string key = to_lower(raw_key);
    bool has_value = raw_key.size() < field.size();
    if (key == "required") {
      std::optional<bool> on = has_value ? parse_bool(value) : true;
      if (!on) return word_fault(value, fmt::format("invalid value for {}: {}", key, value));
      device.required = *on;
    } else if (key == "name" && has_value) {
      if (!device.name.empty()) return fault(fmt::format("device name already set to {}", device.name));
      device.name = value;
    } else if (device.name.empty()) {
      device.name = field;
    } else if (!has_value) {
      return fault(fmt::format("invalid field '{}' must be a key=value pair", field));
    } else {
      return fault(fmt::format("unexpected key '{}' in '{}'{}", key, field,
                               suggestion_suffix(key, {"name", "required"}, MatchCase::kSensitive)));
    }
  }
  return device;
}

}  // namespace kiln::frontend::dockerfile
