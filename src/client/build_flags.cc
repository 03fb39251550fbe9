#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/digest.h"
#include "base/text.h"
#include "base/value.h"
#include "client/build_request.h"
#include "wire/ops.pb.h"
#include "wire/policy.pb.h"

namespace kiln::client {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

// "key=value" fields of a comma list; keys in lower case.
Result<std::vector<std::pair<std::string, std::string>>> parse_fields(std::string_view text) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> fields, parse_csv(text));
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& field : fields) {
    auto [key, value] = split_once(field, '=');
    if (key.size() == field.size()) return fault(fmt::format("invalid value {}", field));
    out.emplace_back(to_lower(key), value);
  }
  return out;
}

Status complete_gha(CacheEntry& entry, const EnvironmentLookup& environment) {
  Attributes& a = entry.attributes;
  bool second = a.contains("version")
                    ? a["version"] == "2"
                    : parse_bool(environment("ACTIONS_CACHE_SERVICE_V2").value_or("")).value_or(false);
  if (auto url = environment("ACTIONS_RESULTS_URL"); url && second) a.try_emplace("url_v2", *url);
  if (auto url = environment("ACTIONS_CACHE_URL")) {
    a.try_emplace("url", *url);
  } else if (auto results = environment("ACTIONS_RESULTS_URL")) {
    a.try_emplace("url", *results);
  }
  if (!a.contains("url") && !a.contains("url_v2")) return fault("cache with type gha requires url parameter to be set");
  if (a.contains("token")) return ok();
  auto token = environment("ACTIONS_RUNTIME_TOKEN");
  if (!token) return fault("cache with type gha requires token parameter or $ACTIONS_RUNTIME_TOKEN");
  a["token"] = *token;
  return ok();
}

// Where an exporter can put its output.
enum class Place { kNone, kDir, kStream };
Place place_of(const OutputEntry& output) {
  if (output.type == "local") return Place::kDir;
  if (output.type == "tar") return Place::kStream;
  if (output.type != "oci" && output.type != "docker") return Place::kNone;
  auto tar = output.attributes.find("tar");
  bool stream = tar == output.attributes.end() || parse_bool(tar->second).value_or(true);
  return stream ? Place::kStream : Place::kDir;
}

Status set_place(OutputEntry& output, const std::string& dest, Stdout stdout_kind) {
  switch (place_of(output)) {
    case Place::kNone:
      if (!dest.empty()) return fault(fmt::format("output {} is not supported by {} exporter", dest, output.type));
      return ok();
    case Place::kDir:
      if (dest.empty()) return fault(fmt::format("output directory is required for {} exporter", output.type));
      output.dir = dest;
      return ok();
    case Place::kStream: break;
  }
  if (!dest.empty() && dest != "-") {
    struct stat stat {};
    if (::stat(dest.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode)) return fault("destination file is a directory");
    output.file = dest;
    return ok();
  }
  if (stdout_kind == Stdout::kTerminal) {
    return fault(fmt::format("output file is required for {} exporter. refusing to write to console", output.type));
  }
  output.to_stdout = true;
  return ok();
}

}  // namespace

Result<CacheEntry> parse_cache(std::string_view text, CacheUse use, const EnvironmentLookup& environment) {
  CacheEntry entry;
  if (text.find("type=") == std::string_view::npos) {
    entry.type = "registry";
    entry.attributes["ref"] = text;
  } else {
    KILN_ASSIGN_OR_RETURN(auto fields, parse_fields(text));
    for (auto& [key, value] : fields) (key == "type" ? entry.type : entry.attributes[key]) = value;
    if (entry.type.empty())
      return fault(
          fmt::format("{} requires type=<type>", use == CacheUse::kExport ? "--export-cache" : "--import-cache"));
  }
  if (use == CacheUse::kExport) entry.attributes.try_emplace("mode", "min");
  if (entry.type == "gha") KILN_RETURN_IF_ERROR(complete_gha(entry, environment));
  return entry;
}

Result<OutputEntry> parse_output(std::string_view text, Stdout stdout_kind) {
  OutputEntry output;
  KILN_ASSIGN_OR_RETURN(auto fields, parse_fields(text));
  for (auto& [key, value] : fields) (key == "type" ? output.type : output.attributes[key]) = value;
  if (output.type.empty()) return fault("--output requires type=<type>");
  if (auto wrong = output.attributes.find("output"); wrong != output.attributes.end()) {
    return fault(fmt::format("output={0} not supported for --output, you meant dest={0}?", wrong->second));
  }
  std::string dest;
  if (auto at = output.attributes.find("dest"); at != output.attributes.end()) dest = at->second;
  if (Status status = set_place(output, dest, stdout_kind); !status.ok())
    return annotate(status, "invalid output option: output");
  output.attributes.erase("dest");
  return output;
}

Result<SecretEntry> parse_secret(std::string_view text, const EnvironmentLookup& environment) {
  Result<std::vector<std::string>> fields = parse_csv(text);
  if (!fields.ok()) return annotate(fields.status(), "failed to parse csv secret");
  SecretEntry secret;
  std::string type;
  for (const std::string& field : *fields) {
    auto [raw_key, value] = split_once(field, '=');
    if (raw_key.size() == field.size()) return fault(fmt::format("invalid field '{}' must be a key=value pair", field));
    std::string key = to_lower(raw_key);
    if (key == "type") {
      if (value != "file" && value != "env") return fault(fmt::format("unsupported secret type {}", quote(value)));
      type = value;
    } else if (key == "id") {
      secret.id = value;
    } else if (key == "source" || key == "src") {
      secret.file = value;
    } else if (key == "env") {
      secret.env = value;
    } else {
      return fault(fmt::format("unexpected key '{}' in '{}'", key, field));
    }
  }
  if (secret.id.empty()) return fault("secret missing ID");
  if (type == "env" && secret.env.empty()) secret.env = std::exchange(secret.file, "");
  if (secret.env.empty() && secret.file.empty()) {
    (environment(secret.id) || type == "env" ? secret.env : secret.file) = secret.id;
  }
  return secret;
}

Result<AgentEntry> parse_agent(std::string_view text) {
  auto [id, list] = split_once(text, '=');
  AgentEntry agent{std::string(id), {}, false};
  if (id.size() < text.size()) {
    for (std::string_view path : split(list, ',')) {
      auto [key, value] = split_once(path, '=');
      if (key != "raw" || key.size() == path.size()) {
        agent.paths.emplace_back(path);
        continue;
      }
      std::optional<bool> raw = parse_bool(value);
      if (!raw) return fault(fmt::format("invalid value for 'raw': {}", value));
      agent.raw = *raw;
    }
  }
  if (agent.raw && agent.paths.size() != 1)
    return fault(fmt::format("raw mode must supply exactly one socket path for {}", quote(agent.id)));
  return agent;
}

Result<RegistryTls> parse_registry_tls(std::string_view text) {
  KILN_ASSIGN_OR_RETURN(auto fields, parse_fields(text));
  RegistryTls tls;
  for (auto& [key, value] : fields) {
    if (key == "host") tls.host = value;
    if (key == "ca") tls.ca = value;
    if (key == "cert") tls.cert = value;
    if (key == "key") tls.key = value;
    if (key == "insecure") tls.insecure = parse_bool(value).value_or(false);
  }
  if (tls.host.empty()) return fault("--registry-auth-tlscontext requires host=<host>");
  bool pair = !tls.cert.empty() && !tls.key.empty();
  if (tls.ca.empty() && !tls.insecure && !pair) {
    return fault("--registry-auth-tlscontext requires ca=<ca> or cert=<cert>,key=<key> or insecure=true");
  }
  if (!tls.ca.empty() && tls.cert.empty() != tls.key.empty())
    return fault("--registry-auth-tlscontext requires cert=<cert>,key=<key>");
  return tls;
}

Status check_entitlement(std::string_view text) {
  if (text == "network.host" || text == "security.insecure" || split_once(text, '=').first == "device") return ok();
  return fault(fmt::format("unknown entitlement {}; there are network.host, security.insecure and device", text));
}

Result<Attributes> parse_pairs(const std::vector<std::string>& words) {
  Attributes out;
  for (const std::string& word : words) {
    auto [key, value] = split_once(word, '=');
    if (key.size() == word.size()) return fault(fmt::format("invalid value {}", word));
    out[std::string(key)] = value;
  }
  return out;
}

Result<Attributes> parse_options(const std::vector<std::string>& words, const EnvironmentLookup& environment) {
  static constexpr std::string_view kBuildArg = "build-arg:";
  std::vector<std::string> resolved;
  if (auto epoch = environment("SOURCE_DATE_EPOCH")) resolved.push_back("build-arg:SOURCE_DATE_EPOCH=" + *epoch);
  for (const std::string& word : words) {
    bool bare = word.starts_with(kBuildArg) && word.size() > kBuildArg.size() && word.find('=') == std::string::npos;
    if (!bare) {
      resolved.push_back(word);
    } else if (auto value = environment(word.substr(kBuildArg.size()))) {
      resolved.push_back(word + "=" + *value);
    }
  }
  return parse_pairs(resolved);
}

namespace {

// The library reads over names of values that it does not know; a rule whose action is misspelt would allow.
Status check_enums(const nlohmann::json& value, const google::protobuf::Descriptor& type) {
  if (!value.is_object()) return ok();
  for (const auto& [name, given] : value.items()) {
    const auto* field = type.FindFieldByName(name);
    if (field == nullptr) field = type.FindFieldByCamelcaseName(name);
    if (field == nullptr) continue;
    const std::vector<nlohmann::json> items =
        given.is_array() ? given.get<std::vector<nlohmann::json>>() : std::vector<nlohmann::json>{given};
    for (const nlohmann::json& item : items) {
      if (field->message_type() != nullptr) KILN_RETURN_IF_ERROR(check_enums(item, *field->message_type()));
      if (field->enum_type() == nullptr || !item.is_string()) continue;
      const auto word = item.get<std::string>();
      if (field->enum_type()->FindValueByName(word) == nullptr)
        return fault(fmt::format("unrecognized enum {} value {}", name, quote(word)));
    }
  }
  return ok();
}

}  // namespace

Result<std::string> parse_source_policy(std::string_view json) {
  moby::buildkit::v1::sourcepolicy::Policy policy;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto parsed = google::protobuf::util::JsonStringToMessage(std::string(json), &policy, options);
  if (!parsed.ok())
    return fault(fmt::format("not a source policy: {}", split_once(std::string(parsed.message()), '\n').first));
  const auto tree = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  KILN_RETURN_IF_ERROR(check_enums(tree, *policy.GetDescriptor()));
  return policy.SerializeAsString();
}

Result<std::string> without_cache(const std::string& bytes) {
  pb::Definition definition;
  if (!definition.ParseFromString(bytes)) return fault("failed to parse llb proto op: the input is no definition");
  for (const std::string& vertex : definition.def()) {
    (*definition.mutable_metadata())[Digest::of(vertex).str()].set_ignore_cache(true);
  }
  return definition.SerializeAsString();
}

std::string metadata_json(const Attributes& response) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [key, value] : response) {
    std::optional<std::string> decoded = base64_decode(value);
    nlohmann::ordered_json object =
        decoded ? nlohmann::ordered_json::parse(*decoded, nullptr, false) : nlohmann::ordered_json();
    if (object.is_object() && !object.empty()) {
      out[key] = std::move(object);
    } else {
      out[key] = value;
    }
  }
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace kiln::client
