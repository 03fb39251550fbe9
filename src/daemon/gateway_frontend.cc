#include "daemon/gateway_frontend.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/id.h"
#include "base/log.h"
#include "base/reference.h"
#include "base/text.h"
#include "base/version.h"
#include "content/image_config.h"
#include "daemon/build_bridge.h"
#include "daemon/gateway.h"
#include "daemon/gateway_containers.h"
#include "daemon/pipe_server.h"
#include "daemon/status_wire.h"
#include "graph/attributes.h"
#include "graph/definition.h"
#include "host/fd.h"
#include "host/fs.h"
#include "op/tree_output.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;

constexpr const char* kMetadataPlace = "/run/config/buildkit/metadata";
constexpr std::size_t kStderrTail = 4096;

std::optional<std::string> option(const frontend::BuildOptions& options, const std::string& name) {
  auto it = options.opts.find(name);
  return it == options.opts.end() ? std::nullopt : std::optional(it->second);
}

// The program and how to start it.
struct Program {
  store::TreeRef tree;
  graph::Definition definition;
  content::ImageConfig image;
};

graph::Definition image_definition(const Reference& image) {
  graph::Op source;
  source.kind = graph::SourceOp{"docker-image://" + image.str(), {{graph::kAttrImageRecordType, "frontend"}}};
  source.platform = Platform::host();
  graph::Definition definition;
  definition.ops.push_back(graph::encode_op(source));
  graph::Op sink;
  sink.inputs.push_back({Digest::of(definition.ops[0]).str(), 0});
  definition.ops.push_back(graph::encode_op(sink));
  return definition;
}

Result<Program> load_program(BuildBridge& bridge, const std::string& source, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Reference named, Reference::parse(source));
  const std::string ref = named.with_default_tag().str();
  Result<frontend::ImageConfig> found = bridge.resolve_image_config(ref, {.platform = Platform::host()}, stop);
  if (!found.ok()) return annotate(found.status(), "failed to resolve source metadata for " + ref);
  const frontend::ImageConfig& config = *found;
  Program program;
  KILN_ASSIGN_OR_RETURN(program.image, content::parse_image_config(config.config));
  KILN_ASSIGN_OR_RETURN(Reference resolved, Reference::parse(config.ref));
  program.definition = image_definition(config.digest.empty() ? resolved : resolved.with_digest(config.digest));
  KILN_ASSIGN_OR_RETURN(frontend::SolveResult solved, bridge.solve({.definition = program.definition}, stop));
  auto* tree = dynamic_cast<BuildRef*>(solved.ref.get());
  if (tree == nullptr) return user_error(Code::kInvalidArgument, "gateway source didn't return default result");
  KILN_ASSIGN_OR_RETURN(solve::Solved done, tree->solved(stop));
  program.tree = op::tree_of(done.output);
  return program;
}

Json devices_json(const std::vector<frontend::WorkerDevice>& devices) {
  Json list = nullptr;
  for (const frontend::WorkerDevice& device : devices) {
    list.push_back({{"name", device.name},
                    {"autoAllow", device.auto_allow},
                    {"annotations", device.annotations},
                    {"onDemand", false}});
  }
  return list;
}

std::string workers_json(const std::vector<frontend::WorkerInfo>& workers) {
  Json list = Json::array();
  for (const frontend::WorkerInfo& worker : workers) {
    Json platforms = Json::array();
    for (const Platform& platform : worker.platforms) platforms.push_back(Json::parse(content::to_json(platform)));
    list.push_back(
        {{"id", worker.id},
         {"labels", worker.labels},
         {"platforms", std::move(platforms)},
         {"gcPolicy", nullptr},
         {"buildkitVersion", {{"package", kPackage}, {"version", kCompatibleVersion}, {"revision", kRevision}}},
         {"cdiDevices", devices_json(worker.devices)}});
  }
  return list.dump();
}

sandbox::ProcessSpec process_of(const Program& program, const frontend::BuildOptions& options) {
  const content::ContainerConfig& config = program.image.config;
  sandbox::ProcessSpec process;
  process.args = config.entrypoint.empty() ? std::vector<std::string>{"/run"} : config.entrypoint;
  process.cwd = config.working_dir.empty() ? "/" : config.working_dir;
  process.env = config.env;
  int index = 0;
  for (const auto& [key, value] : options.opts) {
    process.env.push_back(fmt::format("BUILDKIT_FRONTEND_OPT_{}={}={}", index++, key, value));
  }
  process.env.push_back("BUILDKIT_SESSION_ID=" + options.session_id);
  process.env.push_back("BUILDKIT_WORKERS=" + workers_json(options.workers));
  process.env.push_back("BUILDKIT_EXPORTEDPRODUCT=" + options.product);
  return process;
}

std::set<std::string> cap_names(const std::string& text) {
  std::set<std::string> out;
  for (std::string_view name : split(text, ',')) {
    name = trim(name);
    // "caps+forward": what stands behind the plus is about passing on.
    if (!name.empty()) out.emplace(split_once(name, '+').first);
  }
  return out;
}

// What the request needs of the frontend must be among what its image says it has.
Status check_caps(const Program& program, const frontend::BuildOptions& options, bool has_inputs) {
  const auto& labels = program.image.config.labels;
  auto label = labels.find("moby.buildkit.frontend.caps");
  const std::set<std::string> have = cap_names(label == labels.end() ? "" : label->second);
  std::set<std::string> need = cap_names(option(options, "frontend.caps").value_or(""));
  if (has_inputs) need.insert("moby.buildkit.frontend.inputs");
  for (const std::string& cap : need) {
    if (have.contains(cap)) continue;
    Status status = user_error(Code::kUnimplemented, fmt::format("unsupported frontend capability {}", cap));
    errdefs::FrontendCap detail;
    detail.set_name(cap);
    set_detail(status, kDetailFrontendCap, detail.SerializeAsString());
    return status;
  }
  return ok();
}

bool wants_no_network(const Program& program) {
  auto it = program.image.config.labels.find("moby.buildkit.frontend.network.none");
  if (it == program.image.config.labels.end()) return false;
  const std::string value = to_lower(it->second);
  return value == "true" || value == "1" || value == "t";
}

// Runs the program until it exits; its answer comes through the gateway.
Status run_program(const GatewayFrontendPorts& ports, const Program& program, const frontend::BuildOptions& options,
                   const std::shared_ptr<Gateway>& gateway, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(
      auto tree,
      ports.trees->make_mutable(program.tree, {.description = "frontend", .type = store::RecordType::kFrontend}, stop));
  KILN_ASSIGN_OR_RETURN(host::TempDir metadata, host::TempDir::make("kiln-frontend-"));
  KILN_RETURN_IF_ERROR(
      host::write_file(metadata.path() + "/frontend.bin", graph::encode_definition(program.definition), 0400));
  sandbox::ContainerSpec container{.id = new_id()};
  KILN_ASSIGN_OR_RETURN(container.root, tree->mount());
  container.mounts.push_back(
      {{"bind", metadata.path(), {"bind", "ro", "nosuid", "nodev", "noexec"}}, kMetadataPlace, ""});
  container.remove_mount_stubs_recursive = true;
  if (wants_no_network(program)) container.network = sandbox::NetworkMode::kNone;

  KILN_ASSIGN_OR_RETURN(auto server, PipeServer::start(*ports.pool, gateway));
  sandbox::ProcessControl control;
  sandbox::ProcessIo io;
  server->connect(io, control);
  std::string said;
  io.on_stderr = [&said](std::string_view bytes) {
    said.append(bytes);
    if (said.size() > 2 * kStderrTail) said.erase(0, said.size() - kStderrTail);
  };
  const sandbox::ProcessSpec process = process_of(program, options);
  Result<sandbox::ExitStatus> exit = ports.runtime->run(container, process, io, stop);
  server->close();
  if (!said.empty()) log_debug("frontend: {}", said);
  if (!exit.ok()) return exit.status();
  if (exit->code == 0) return ok();
  Status failed = sandbox::exit_error(process, *exit);
  return said.empty() ? failed : annotate(failed, trim(said));
}

}  // namespace

Result<frontend::SolveResult> GatewayFrontend::build(frontend::Bridge& bridge, std::stop_token stop) const {
  auto* mine = dynamic_cast<BuildBridge*>(&bridge);
  if (mine == nullptr) return engine_error("gateway.v0 runs inside builds only");
  const frontend::BuildOptions& options = bridge.options();
  if (option(options, "gateway-devel")) {
    return user_error(Code::kUnimplemented, "development gateway is no longer supported");
  }
  const auto source = option(options, "source");
  if (!source) return user_error(Code::kInvalidArgument, "no source specified for gateway");
  if (!ports_.allowed_repositories.empty()) {
    KILN_ASSIGN_OR_RETURN(Reference named, Reference::parse(*source));
    const auto& allowed = ports_.allowed_repositories;
    if (std::find(allowed.begin(), allowed.end(), named.name()) == allowed.end()) {
      return user_error(Code::kPermissionDenied, fmt::format("'{}' is not an allowed gateway source", *source));
    }
  }
  KILN_ASSIGN_OR_RETURN(Program program, load_program(*mine, *source, stop));
  KILN_ASSIGN_OR_RETURN(auto inputs, bridge.inputs(stop));
  KILN_RETURN_IF_ERROR(check_caps(program, options, !inputs.empty()));

  auto gateway = std::make_shared<Gateway>(bridge, make_gateway_containers(*mine->context()->build, mine->context()));
  const Status ran = run_program(ports_, program, options, gateway, stop);
  // An error that the frontend returned says more than how it exited; an exit says more than a
  // result that was returned before it.
  Result<frontend::SolveResult> result =
      gateway->finished() ? gateway->wait(stop)
                          : Result<frontend::SolveResult>(user_error(Code::kUnknown, "no result for incomplete build"));
  gateway->close();
  if (!ran.ok() && (result.ok() || !gateway->finished())) return ran;
  return result;
}

}  // namespace kiln::daemon
