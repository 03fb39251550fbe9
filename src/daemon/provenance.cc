#include "daemon/provenance.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/git_url.h"
#include "base/reference.h"
#include "base/text.h"
#include "base/value.h"
#include "base/version.h"
#include "daemon/message_json.h"
#include "daemon/status_wire.h"
#include "graph/definition.h"
#include "host/fd.h"
#include "host/fs.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;

constexpr const char* kBuildTypeV1 = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
constexpr const char* kBuildTypeV02 = "https://mobyproject.org/buildkit@v1";
constexpr std::int64_t kCurrentCompatibility = 30;

// Percent-encoding of package URLs: unreserved characters and ':' stay.
std::string percent(std::string_view text, std::string_view also_kept) {
  std::string out;
  for (unsigned char c : text) {
    const bool kept = std::isalnum(c) || std::string_view("-._~:").find(static_cast<char>(c)) != std::string_view::npos ||
                      also_kept.find(static_cast<char>(c)) != std::string_view::npos;
    if (kept) out += static_cast<char>(c); else out += fmt::format("%{:02X}", c);
  }
  return out;
}

using Qualifiers = std::map<std::string, std::string>;  // sorted, as package URLs are

std::string package_url(bool local, const std::string& text, Qualifiers qualifiers) {
  auto parsed = Reference::parse(text);
  if (!parsed.ok()) return text;
  Reference ref = *parsed;
  if (ref.digest.empty()) ref = ref.with_default_tag();
  if (!ref.digest.empty()) qualifiers["digest"] = ref.digest.str();
  std::string out = fmt::format("pkg:{}/{}", local ? "oci" : "docker", percent(ref.familiar_name(), "/"));
  if (!ref.tag.empty()) out += "@" + percent(ref.tag, "");
  char separator = '?';
  for (const auto& [key, value] : qualifiers) {
    out += separator + key + "=" + percent(value, "");
    separator = '&';
  }
  return out;
}

Json digest_set(const std::string& digest) {
  const auto [algorithm, hex] = split_once(digest, ':');
  return {{std::string(algorithm), std::string(hex)}};
}

Json commit_set(const std::string& commit) { return {{commit.size() == 64 ? "sha256" : "sha1", commit}}; }

Json material(std::string uri, Json digest) {
  Json out = {{"uri", std::move(uri)}};
  if (!digest.is_null()) out["digest"] = std::move(digest);
  return out;
}

Json materials_of(const Capture& capture) {
  Json out = Json::array();
  for (const ImageMaterial& image : capture.images) {
    Qualifiers qualifiers;
    if (image.platform) qualifiers["platform"] = image.platform->normalized().str();
    out.push_back(material(package_url(image.local, image.ref, std::move(qualifiers)),
                           image.digest.empty() ? Json() : digest_set(image.digest)));
  }
  for (const ImageMaterial& blob : capture.blobs) {
    out.push_back(material(package_url(blob.local, blob.ref, {{"ref_type", "blob"}}),
                           blob.digest.empty() ? Json() : digest_set(blob.digest)));
  }
  for (const GitMaterial& git : capture.git) out.push_back(material(git.url, commit_set(git.commit)));
  for (const auto& [url, digest] : capture.http) out.push_back(material(url, digest_set(digest)));
  return out;
}

// What of a request's options is worth keeping: not what belongs to the machine or to attestations.
std::map<std::string, std::string> kept_args(const std::map<std::string, std::string>& opts) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : opts) {
    if (key == "cgroup-parent" || key == "image-resolve-mode" || key == "platform" || key == "cache-imports") continue;
    if (key.starts_with("attest:")) continue;
    out.emplace(key, value);
  }
  return out;
}

std::string redacted(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t at = scheme == std::string::npos ? std::string::npos : url.find('@', scheme);
  if (at == std::string::npos || url.find('/', scheme + 3) < at) return url;
  const bool password = url.substr(scheme + 3, at - scheme - 3).find(':') != std::string::npos;
  return url.substr(0, scheme + 3) + (password ? "xxxxx:xxxxx" : "xxxxx") + url.substr(at);
}

// The context of a request, as the place its configuration came from, with what it resolved to.
Json config_source(std::map<std::string, std::string>& args, const Capture& capture) {
  std::string key = "context";
  if (auto it = args.find("contextkey"); it != args.end() && !it->second.empty()) {
    key = it->second;
  } else if (auto input = args.find("input:context"); input != args.end() && !input->second.empty()) {
    key = "input:context";
  }
  Json out = Json::object();
  if (auto it = args.find(key); it != args.end() && !it->second.empty()) {
    const std::string plain = git_fragment_form(it->second, GitSubdir::kDrop);
    out["uri"] = redacted(it->second);
    for (const GitMaterial& git : capture.git) {
      if (git.url != plain && git.url != redacted(plain)) continue;
      out["uri"] = redacted(git_fragment_form(it->second, GitSubdir::kKeep));
      out["digest"] = commit_set(git.commit);
    }
    if (auto http = capture.http.find(it->second); http != capture.http.end()) out["digest"] = digest_set(http->second);
    args.erase(it);
  }
  if (auto it = args.find("filename"); it != args.end() && !it->second.empty()) {
    out["path"] = it->second;
    args.erase(it);
  }
  return out;
}

struct Request {
  Json config_source = Json::object();
  Json parameters = Json::object();
  Json vcs = Json::object();
  bool scrubbed = false;  // something was left out for the sake of mode min
};

// Build arguments and labels may hold what is nobody's business; mode min leaves them out.
void scrub(std::map<std::string, std::string>& args, Request& out) {
  out.scrubbed |= std::erase_if(args, [](const auto& arg) {
                    return arg.first.starts_with("build-arg:") || arg.first.starts_with("label:");
                  }) > 0;
}

Json call_parameters(const std::string& frontend, const std::map<std::string, std::string>& args) {
  Json out = Json::object();
  if (!frontend.empty()) out["frontend"] = frontend;
  if (!args.empty()) out["args"] = args;
  return out;
}

Json with_options(const std::map<std::string, bool>& ids) {
  Json out = Json::array();
  for (const auto& [id, optional] : ids) {
    out.push_back({{"id", id}});
    if (optional) out.back()["optional"] = true;
  }
  return out;
}

Request request_of(const Capture& capture, const ProvenanceOptions& options) {
  Request out;
  const bool min = options.mode == ProvenanceMode::kMin;
  std::string frontend;
  std::map<std::string, std::string> args;
  if (capture.origin) {
    frontend = capture.origin->frontend;
    args = kept_args(capture.origin->opts);
  }
  out.config_source = config_source(args, capture);
  for (auto it = args.begin(); it != args.end();) {
    if (!it->first.starts_with("vcs:")) {
      ++it;
      continue;
    }
    if (!it->second.empty()) out.vcs[it->first.substr(4)] = it->first == "vcs:source" ? redacted(it->second) : it->second;
    it = args.erase(it);
  }
  if (min) scrub(args, out);
  out.parameters = call_parameters(frontend, args);
  if (capture.origin && capture.origin->root) {
    auto root_args = kept_args(capture.origin->root->opts);
    Json source = config_source(root_args, capture);
    if (min) scrub(root_args, out);
    out.parameters["root"] = {{"configSource", std::move(source)},
                              {"request", call_parameters(capture.origin->root->frontend, root_args)}};
  }
  if (!min && !capture.secrets.empty()) out.parameters["secrets"] = with_options(capture.secrets);
  if (!min && !capture.ssh.empty()) out.parameters["ssh"] = with_options(capture.ssh);
  for (const std::string& name : capture.locals) out.parameters["locals"].push_back({{"name", name}});
  return out;
}

struct Steps {
  Json list = Json::array();
  std::map<std::string, std::string> ids;  // digest → "step3"
};

// The ops of a definition, inputs first, in the order of a walk from the result.
Steps steps_of(const graph::Definition& definition) {
  std::map<std::string, pb::Op> ops;
  std::string last;
  for (const std::string& bytes : definition.ops) {
    last = Digest::of(bytes).str();
    pb::Op& op = ops[last];
    op.ParseFromString(bytes);
    if (op.has_source()) {
      op.mutable_source()->mutable_attrs()->erase("local.session");
      op.mutable_source()->mutable_attrs()->erase("local.unique");
    }
  }
  Steps out;
  if (last.empty()) return out;
  // A walk by hand: a chain may be longer than the stack is deep.
  std::vector<std::pair<std::string, int>> path{{last, 0}};
  std::set<std::string> seen{last};
  while (!path.empty()) {
    auto& [digest, next] = path.back();
    pb::Op& op = ops[digest];
    if (next < op.inputs_size()) {
      const std::string input = op.inputs(next++).digest();
      if (ops.contains(input) && seen.insert(input).second) path.emplace_back(input, 0);
      continue;
    }
    Json step = {{"id", fmt::format("step{}", out.list.size())}};
    Json inputs = Json::array();
    for (const pb::Input& input : op.inputs()) inputs.push_back(fmt::format("{}:{}", out.ids[input.digest()], input.index()));
    if (!inputs.empty()) step["inputs"] = std::move(inputs);
    out.ids[digest] = step["id"].get<std::string>();
    op.clear_inputs();
    step["op"] = to_json(op, JsonStyle::kLlb);
    out.list.push_back(std::move(step));
    path.pop_back();
  }
  return out;
}

Json build_config(const Steps& steps) {
  Json out = Json::object();
  if (!steps.list.empty()) out["llbDefinition"] = steps.list;
  if (!steps.ids.empty()) out["digestMapping"] = steps.ids;
  return out;
}

Json source_metadata(const graph::Definition& definition, const Steps& steps) {
  pb::Definition message;
  message.ParseFromString(graph::encode_definition(definition));
  Json infos = Json::array(), locations = Json::object();
  for (const pb::SourceInfo& info : message.source().infos()) {
    Json one = {{"filename", info.filename()}};
    if (!info.language().empty()) one["language"] = info.language();
    pb::SourceInfo only_data;
    only_data.set_data(info.data());
    one.update(to_json(only_data, JsonStyle::kLlb));
    if (auto inner = graph::decode_definition(info.definition().SerializeAsString()); inner.ok()) {
      one.update(build_config(steps_of(*inner)));
    }
    infos.push_back(std::move(one));
  }
  for (const auto& [digest, place] : message.source().locations()) {
    auto it = steps.ids.find(digest);
    if (it != steps.ids.end()) locations[it->second] = to_json(place, JsonStyle::kLlb);
  }
  if (infos.empty()) return Json();
  return {{"infos", std::move(infos)}, {"locations", std::move(locations)}};
}

Status incomplete_error(const Capture& capture) {
  std::string text = "provenance materials are incomplete\n\nThe build requested complete provenance materials, but not all "
                     "dependencies could be captured.";
  errdefs::ProvenanceMaterialsIncomplete detail;
  if (!capture.locals.empty()) text += "\n\nUncaptured local sources:";
  for (const std::string& name : capture.locals) {
    text += fmt::format("\n  - {}\n    reason: local_source", name.empty() ? "<unnamed>" : name);
    auto* one = detail.add_incomplete();
    one->set_name(name);
    one->set_reason("local_source");
  }
  Status status = user_error(Code::kUnknown, text);
  set_detail(status, kDetailProvenance, detail.SerializeAsString());
  return status;
}

// The parts that both versions arrange in their own ways.
struct Parts {
  Request request;
  Json materials;
  Json build_config;  // null in mode min
  Json metadata = Json::object();  // vcs, source
  bool materials_complete = false;
  bool request_complete = false;
  bool hermetic = false;
  Json environment = Json::object();
};

Json predicate_v1(const Parts& parts, const ProvenanceOptions& options, const ProvenanceRun& run) {
  Json internal = parts.environment;
  internal["builderPlatform"] = Platform::host().normalized().str();
  if (!parts.build_config.is_null()) internal["buildConfig"] = parts.build_config;
  Json definition = {{"buildType", kBuildTypeV1},
                     {"externalParameters", {{"configSource", parts.request.config_source}, {"request", parts.request.parameters}}},
                     {"internalParameters", std::move(internal)}};
  if (!parts.materials.empty()) definition["resolvedDependencies"] = parts.materials;
  Json metadata = {{"invocationId", run.invocation_id},
                   {"startedOn", format_rfc3339(run.started)},
                   {"finishedOn", format_rfc3339(run.finished)},
                   {"buildkit_metadata", parts.metadata},
                   {"buildkit_completeness",
                    {{"request", parts.request_complete}, {"resolvedDependencies", parts.materials_complete}}}};
  if (parts.hermetic) metadata["buildkit_hermetic"] = true;
  if (options.reproducible) metadata["buildkit_reproducible"] = true;
  return {{"buildDefinition", std::move(definition)},
          {"runDetails", {{"builder", {{"id", options.builder_id}}}, {"metadata", std::move(metadata)}}}};
}

Json predicate_v02(const Parts& parts, const ProvenanceOptions& options, const ProvenanceRun& run) {
  Json source = parts.request.config_source;
  if (source.contains("path")) {
    source["entryPoint"] = source["path"];
    source.erase("path");
  }
  Json environment = parts.environment;
  environment["platform"] = Platform::host().normalized().str();
  Json metadata = {{"buildInvocationID", run.invocation_id},
                   {"buildStartedOn", format_rfc3339(run.started)},
                   {"buildFinishedOn", format_rfc3339(run.finished)},
                   {"completeness",
                    {{"parameters", parts.request_complete}, {"environment", true}, {"materials", parts.materials_complete}}},
                   {"reproducible", options.reproducible},
                   {"https://mobyproject.org/buildkit@v1#metadata", parts.metadata}};
  if (parts.hermetic) metadata["https://mobyproject.org/buildkit@v1#hermetic"] = true;
  Json out = {{"builder", {{"id", options.builder_id}}},
              {"buildType", kBuildTypeV02},
              {"invocation",
               {{"configSource", std::move(source)}, {"parameters", parts.request.parameters}, {"environment", std::move(environment)}}},
              {"metadata", std::move(metadata)}};
  if (!parts.materials.empty()) out["materials"] = parts.materials;
  if (!parts.build_config.is_null()) out["buildConfig"] = parts.build_config;
  return out;
}

Result<bool> parse_flag(const std::string& name, const std::string& value) {
  if (value == "true" || value == "1" || value == "t") return true;
  if (value == "false" || value == "0" || value == "f") return false;
  return user_error(Code::kInvalidArgument, fmt::format("failed to parse {} flag \"{}\"", name, value));
}

Status set_option(ProvenanceOptions& options, const std::string& key, const std::string& value) {
  if (key == "mode") {
    if (value != "min" && value != "max" && value != "full") {
      return user_error(Code::kInvalidArgument, fmt::format("invalid mode \"{}\"", value));
    }
    options.mode = value == "min" ? ProvenanceMode::kMin : ProvenanceMode::kMax;
  } else if (key == "version") {
    if (value != "v1" && value != "v0.2") {
      return user_error(Code::kInvalidArgument, value.empty() ? "provenance SLSA version cannot be empty"
                                                              : "invalid provenance SLSA version: " + value);
    }
    options.version = value == "v1" ? SlsaVersion::kV1 : SlsaVersion::kV02;
  } else if (key == "builder-id") {
    options.builder_id = value;
  } else if (key == "filename") {
    options.filename = value;
  } else if (key == "reproducible") {
    KILN_ASSIGN_OR_RETURN(options.reproducible, parse_flag(key, value));
  } else if (key == "complete-materials") {
    KILN_ASSIGN_OR_RETURN(options.complete_materials, parse_flag(key, value));
  } else if (key == "inline-only") {
    options.inline_only = parse_flag(key, value).value_or(false);
  }
  return ok();
}

}  // namespace

Result<std::optional<ProvenanceOptions>> provenance_options(const std::map<std::string, std::string>& opts) {
  std::optional<ProvenanceOptions> out;
  for (const auto& [key, value] : opts) {
    constexpr std::string_view kArgument = "build-arg:BUILDKIT_ATTEST_";
    std::string kind;
    if (key.starts_with("attest:")) kind = to_lower(key.substr(7));
    if (key.starts_with(kArgument)) kind = to_lower(key.substr(kArgument.size()));
    if (kind.empty() || kind == "sbom") continue;
    if (kind != "provenance") return user_error(Code::kInvalidArgument, fmt::format("unknown attestation type \"{}\"", kind));
    out.emplace();
    if (value.empty()) continue;
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> fields, parse_csv(value));
    bool disabled = false;
    for (const std::string& field : fields) {
      const auto [name, setting] = split_once(field, '=');
      if (name == "disabled" && setting == "true") disabled = true;
      KILN_RETURN_IF_ERROR(set_option(*out, std::string(name), std::string(setting)));
    }
    if (disabled) out.reset();
  }
  return out;
}

std::string predicate_type(SlsaVersion version) {
  return version == SlsaVersion::kV1 ? "https://slsa.dev/provenance/v1" : "https://slsa.dev/provenance/v0.2";
}

Result<std::string> predicate(const Capture& capture, const graph::Definition& definition, const ProvenanceOptions& options,
                              const ProvenanceRun& run) {
  Parts parts;
  parts.materials_complete = !capture.incomplete && capture.locals.empty();
  if (options.complete_materials && !parts.materials_complete) return incomplete_error(capture);
  parts.request = request_of(capture, options);
  parts.request.parameters["compatibilityVersion"] =
      run.compatibility_version != 0 ? run.compatibility_version : kCurrentCompatibility;
  parts.materials = materials_of(capture);
  const bool has_frontend = capture.origin && !capture.origin->frontend.empty();
  parts.request_complete = has_frontend && !parts.request.scrubbed;
  parts.hermetic = parts.materials_complete && !capture.network;
  if (!parts.request.vcs.empty()) parts.metadata["vcs"] = parts.request.vcs;
  if (options.mode == ProvenanceMode::kMax) {
    const Steps steps = steps_of(definition);
    parts.build_config = build_config(steps);
    if (Json source = source_metadata(definition, steps); !source.is_null()) parts.metadata["source"] = std::move(source);
  }
  if (!run.environment_json.empty()) parts.environment = Json::parse(run.environment_json, nullptr, false);
  if (!parts.environment.is_object()) parts.environment = Json::object();
  if (has_frontend && capture.origin->frontend == "dockerfile.v0") parts.environment["dockerfileVersion"] = kDockerfileVersion;
  const Json out = options.version == SlsaVersion::kV1 ? predicate_v1(parts, options, run) : predicate_v02(parts, options, run);
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> load_provenance_environment(const std::string& directory) {
  auto names = host::list_dir(directory);
  if (!names.ok()) return is_not_found(names.status()) ? Result<std::string>("") : names.status();
  Json all = Json::object();
  for (const std::string& name : *names) {
    if (!name.ends_with(".json")) continue;
    KILN_ASSIGN_OR_RETURN(std::string text, host::read_file(directory + "/" + name));
    const Json one = Json::parse(text, nullptr, false);
    if (!one.is_object()) {
      return user_error(Code::kInvalidArgument, fmt::format("'{}/{}' is no JSON object", directory, name));
    }
    all.update(one);
  }
  return all.empty() ? "" : all.dump();
}

}  // namespace kiln::daemon
