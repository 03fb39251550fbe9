// `buildctl build`, which is `kiln solve`: BuildKit's own flags.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/internal/build_session.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

constexpr std::size_t kDefinitionMax = 512 << 20;

Status read_definition(const Invocation& call, BuildRequest& request) {
  struct stat input {};
  if (fstat(STDIN_FILENO, &input) != 0 || S_ISCHR(input.st_mode))
    return user_error(Code::kInvalidArgument, "please specify --frontend or pipe LLB definition to stdin");
  KILN_ASSIGN_OR_RETURN(request.definition, host::read_to_end(STDIN_FILENO, kDefinitionMax));
  if (request.definition.empty()) {
    return user_error(Code::kInvalidArgument, "empty definition sent to build. Specify --frontend instead?");
  }
  if (call.line.on("no-cache")) {
    KILN_ASSIGN_OR_RETURN(request.definition, without_cache(request.definition));
  }
  return ok();
}

template <typename Entry, typename Parse>
Status parse_all(const CommandLine& line, std::string_view option, std::vector<Entry>& out, Parse parse) {
  for (const std::string& text : line.list(option)) {
    KILN_ASSIGN_OR_RETURN(Entry entry, parse(text));
    out.push_back(std::move(entry));
  }
  return ok();
}

Status read_flags(const Invocation& call, BuildRequest& request) {
  const CommandLine& line = call.line;
  Stdout stdout_kind = isatty(STDOUT_FILENO) ? Stdout::kTerminal : Stdout::kOther;
  KILN_RETURN_IF_ERROR(parse_all(line, "registry-auth-tlscontext", request.registry_tls,
                                 [](auto& text) { return parse_registry_tls(text); }));
  KILN_RETURN_IF_ERROR(parse_all(line, "ssh", request.agents, [](auto& text) { return parse_agent(text); }));
  KILN_RETURN_IF_ERROR(
      parse_all(line, "secret", request.secrets, [&](auto& text) { return parse_secret(text, call.environment); }));
  for (const std::string& entitlement : line.list("allow")) KILN_RETURN_IF_ERROR(check_entitlement(entitlement));
  request.entitlements = line.list("allow");
  KILN_RETURN_IF_ERROR(
      parse_all(line, "output", request.outputs, [&](auto& text) { return parse_output(text, stdout_kind); }));
  KILN_RETURN_IF_ERROR(parse_all(line, "export-cache", request.cache_exports,
                                 [&](auto& text) { return parse_cache(text, CacheUse::kExport, call.environment); }));
  KILN_RETURN_IF_ERROR(parse_all(line, "import-cache", request.cache_imports,
                                 [&](auto& text) { return parse_cache(text, CacheUse::kImport, call.environment); }));
  if (std::string path = line.text("source-policy-file"); !path.empty()) {
    KILN_ASSIGN_OR_RETURN(std::string json, host::read_file(path, 64 << 20));
    Result<std::string> policy = parse_source_policy(json);
    if (!policy.ok())
      return annotate(policy.status(), fmt::format("failed to unmarshal source-policy-file \"{}\"", path));
    request.source_policy = *std::move(policy);
  }
  request.frontend = line.text("frontend");
  request.proxy_network = line.on("proxy-network");
  request.explain = line.on("explain");
  auto named = [](Result<Attributes> pairs, std::string_view what, Attributes& out) -> Status {
    if (!pairs.ok()) return annotate(pairs.status(), what);
    out = *std::move(pairs);
    return ok();
  };
  KILN_RETURN_IF_ERROR(
      named(parse_options(line.list("opt"), call.environment), "invalid opt", request.frontend_attributes));
  KILN_RETURN_IF_ERROR(named(parse_pairs(line.list("local")), "invalid local", request.local_dirs));
  for (const std::string& layout : line.list("oci-layout")) {
    if (layout.find('=') == std::string::npos) {
      return user_error(
          Code::kInvalidArgument,
          fmt::format("invalid oci-layout: oci-layout option must be 'id=path/to/layout', instead had invalid {}",
                      layout));
    }
  }
  return named(parse_pairs(line.list("oci-layout")), "invalid oci-layout", request.oci_layouts);
}

}  // namespace

Status run_build_command(const Invocation& call) {
  const CommandLine& line = call.line;
  BuildRequest request;
  KILN_RETURN_IF_ERROR(read_flags(call, request));
  if (request.frontend.empty()) {
    KILN_RETURN_IF_ERROR(read_definition(call, request));
  } else if (line.on("no-cache")) {
    request.frontend_attributes["no-cache"] = "";
  }
  return build_and_report(call, std::move(request),
                          {.progress = line.text("progress"),
                           .trace = line.text("trace"),
                           .metadata = line.text("metadata-file"),
                           .ref = line.text("ref-file"),
                           .image_id = "",
                           .cache_metrics = line.text("debug-json-cache-metrics")});
}

}  // namespace kiln::client
