#include "daemon/build_bridge.h"

#include "daemon/internal_step.h"
#include "daemon/status_wire.h"
#include "frontend/parallel.h"
#include "graph/caps.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {
namespace {

constexpr std::string_view kPolicyRefused = "could not resolve image due to policy";

source::MetaOptions to_meta_options(const frontend::ResolveOptions& in) {
  source::MetaOptions out;
  out.resolve_mode = in.resolve_mode;
  if (in.oci_store) {
    out.oci_session_id = in.oci_store->session_id;
    out.oci_store_id = in.oci_store->store_id;
  }
  out.no_config = in.no_config;
  out.attestation_chain = in.attestation_chain;
  out.resolve_attestations = in.resolve_attestations;
  out.git_object = in.git_object;
  out.http_checksum = in.http_checksum;
  return out;
}

frontend::ImageMeta to_frontend(source::ImageMeta in) {
  frontend::ImageMeta out{std::move(in.digest), std::move(in.config), std::nullopt};
  if (!in.attestation_chain) return out;
  auto& chain = out.attestation_chain.emplace();
  chain.root = in.attestation_chain->root;
  chain.image_manifest = in.attestation_chain->image_manifest;
  chain.attestation_manifest = in.attestation_chain->attestation_manifest;
  chain.signature_manifests = in.attestation_chain->signature_manifests;
  for (auto& [digest, blob] : in.attestation_chain->blobs) {
    chain.blobs[digest] = {blob.media_type, blob.size, std::move(blob.data)};
  }
  return out;
}

frontend::SourceMeta to_frontend(const graph::SourceOp& source, source::SourceMeta in) {
  frontend::SourceMeta out;
  out.source = source;
  if (in.image) out.image = to_frontend(*std::move(in.image));
  if (in.git) {
    out.git = frontend::GitMeta{in.git->checksum, in.git->ref, in.git->commit_checksum, in.git->commit_object,
                                in.git->tag_object};
  }
  if (in.http) {
    out.http =
        frontend::HttpMeta{in.http->checksum, in.http->filename, in.http->last_modified, in.http->checksum_response};
  }
  return out;
}

source::Asker asker_of(const BridgeContext& context, event::Reporter& reporter, std::stop_token stop) {
  std::string session = context.build->request().session;
  return {stop, reporter, {*context.sessions, [session] { return std::vector<std::string>{session}; }}, nullptr};
}

// Asks about a source that was decided about; an image is noted in `scope`, which may be null.
Result<frontend::SourceMeta> resolve_decided(const BridgeContext& context, RequestScope* scope,
                                             const graph::SourceOp& source, const std::optional<Platform>& platform,
                                             const frontend::ResolveOptions& options, std::stop_token stop) {
  InternalStep step(context.build->events(),
                    options.log_name.empty() ? "resolve metadata for " + source.identifier : options.log_name);
  auto meta = context.meta->resolve(source, platform ? platform : options.platform, to_meta_options(options),
                                    asker_of(context, step, stop));
  step.done(meta.status());
  if (!meta.ok()) return meta.status();
  if (meta->image && scope != nullptr) {
    const auto at = source.identifier.find("://");
    scope->add_image({at == std::string::npos ? source.identifier : source.identifier.substr(at + 3),
                      platform ? platform : options.platform, meta->image->digest.str(),
                      !source.identifier.starts_with("docker-image://")});
  }
  return to_frontend(source, *std::move(meta));
}

}  // namespace

Result<bool> check_source(const BridgeContext& context, graph::Op& op, std::stop_token stop) {
  if (!context.rules) return false;
  auto resolve = [&](const graph::SourceOp& source, const std::optional<Platform>& platform,
                     const frontend::ResolveOptions& options) {
    return resolve_decided(context, nullptr, source, platform, options, stop);
  };
  return context.rules->rewrite(op, resolve, stop);
}

namespace {

// Steps that must not be answered from the cache begin with empty cache mounts.
Status forget_cache_mounts(const BridgeContext& context, const graph::Graph& graph) {
  if (!context.ports.cache_mounts || context.ports.trees == nullptr) return ok();
  std::set<std::string> ids;
  for (const auto& vertex : graph.vertices) {
    const auto* exec = std::get_if<graph::ExecOp>(&vertex->op.kind);
    if (exec == nullptr || !vertex->metadata.ignore_cache) continue;
    for (const auto& mount : exec->mounts) {
      if (mount.type == graph::MountType::kCache && mount.cache)
        ids.insert(mount.cache->id.empty() ? mount.dest : mount.cache->id);
    }
  }
  for (const auto& id : ids) KILN_RETURN_IF_ERROR(context.ports.cache_mounts->forget(*context.ports.trees, id));
  return ok();
}

}  // namespace

namespace {

struct Checked {
  graph::Op op;  // as it was decided
  bool changed = false;
};

// A client's verifier may take its time, and may decide about one source only after it was asked about
// another: all are asked at once. In the order of the definition; empty when there is nothing to gain.
Result<std::vector<Checked>> check_sources(const BridgeContext& context, const graph::Definition& definition,
                                           std::stop_token stop) {
  std::vector<Checked> checked;
  if (!context.rules || !context.rules->asks_client()) return checked;
  for (const std::string& bytes : definition.ops) {
    Result<graph::Op> op = graph::decode_op(bytes);
    if (!op.ok()) return std::vector<Checked>();  // loading says what is wrong
    if (std::holds_alternative<graph::SourceOp>(op->kind)) checked.push_back({*std::move(op), false});
  }
  std::vector<std::function<Status(std::stop_token)>> jobs;
  for (Checked& one : checked) {
    jobs.push_back([&context, &one](std::stop_token inner) -> Status {
      KILN_ASSIGN_OR_RETURN(one.changed, check_source(context, one.op, inner));
      return ok();
    });
  }
  KILN_RETURN_IF_ERROR(frontend::run_all(jobs, stop));
  return checked;
}

}  // namespace

Result<std::shared_ptr<const graph::Graph>> load_graph(const BridgeContext& context,
                                                       const graph::Definition& definition, std::stop_token stop) {
  graph::LoadOptions options;
  options.default_platform = context.workers.empty() || context.workers[0].platforms.empty()
                                 ? Platform::host()
                                 : context.workers[0].platforms[0];
  KILN_ASSIGN_OR_RETURN(std::vector<Checked> checked, check_sources(context, definition, stop));
  std::size_t next = 0;
  options.rewrite_source = [&](graph::Op& op) -> Result<bool> {
    if (checked.empty()) return check_source(context, op, stop);
    if (next == checked.size()) return engine_error("a graph has more sources than its definition");
    op = std::move(checked[next].op);
    return checked[next++].changed;
  };
  options.check_op = [&](graph::Op& op, const graph::OpMetadata&) {
    auto* exec = std::get_if<graph::ExecOp>(&op.kind);
    return exec == nullptr ? ok() : context.entitlements.check(*exec, context.ports.devices.get());
  };
  if (context.ports.proxied) {
    options.set_apart = [](const graph::Op& op) {
      const auto* exec = std::get_if<graph::ExecOp>(&op.kind);
      return exec != nullptr && exec->network != graph::NetMode::kNone;
    };
  }
  KILN_ASSIGN_OR_RETURN(auto loaded, graph::load(definition, options));
  KILN_RETURN_IF_ERROR(forget_cache_mounts(context, loaded));
  return std::make_shared<const graph::Graph>(std::move(loaded));
}

BuildBridge::BuildBridge(std::shared_ptr<BridgeContext> context, std::map<std::string, std::string> opts,
                         std::map<std::string, graph::Definition> inputs, std::shared_ptr<RequestScope> scope)
    : context_(std::move(context)), inputs_(std::move(inputs)), scope_(std::move(scope)) {
  options_.opts = std::move(opts);
  options_.session_id = context_->build->request().session;
  options_.product = context_->product;
  options_.workers = context_->workers;
  static const graph::CapSet llb_caps(graph::llb_caps()), gateway_caps(graph::gateway_caps());
  options_.llb_caps = llb_caps;
  options_.caps = gateway_caps;
}

source::Asker BuildBridge::asker(event::Reporter& reporter, std::stop_token stop) const {
  return asker_of(*context_, reporter, stop);
}

Result<frontend::SolveResult> BuildBridge::solve(const frontend::SolveRequest& request, std::stop_token stop) {
  if (request.definition && !request.frontend.empty()) {
    return user_error(Code::kInvalidArgument, "cannot solve with both Definition and Frontend specified");
  }
  KILN_RETURN_IF_ERROR(add_rules(request.source_policies));
  if (context_->import_cache) {
    for (const auto& import : request.cache_imports) context_->import_cache(import);
  }
  frontend::SolveResult result;
  if (request.definition && !request.definition->empty()) {
    KILN_ASSIGN_OR_RETURN(result, solve_definition(*request.definition, stop));
  } else if (!request.frontend.empty()) {
    KILN_ASSIGN_OR_RETURN(result, solve_frontend(request, stop));
  }
  const auto note = [](const frontend::RefPtr& ref) {
    if (auto* mine = dynamic_cast<BuildRef*>(ref.get())) mine->scope()->produced(*mine->graph());
  };
  note(result.ref);
  for (const auto& [key, ref] : result.refs) note(ref);
  if (request.evaluate) {
    if (result.ref) KILN_RETURN_IF_ERROR(result.ref->evaluate(stop));
    for (const auto& [key, ref] : result.refs) {
      if (ref) KILN_RETURN_IF_ERROR(ref->evaluate(stop));
    }
  }
  return result;
}

Result<frontend::SolveResult> BuildBridge::solve_definition(const graph::Definition& definition, std::stop_token stop) {
  auto loaded = load_graph(*context_, definition, stop);
  if (!loaded.ok()) return annotate(loaded.status(), "failed to load LLB");
  std::shared_ptr<const graph::Graph> graph = *std::move(loaded);
  frontend::SolveResult result;
  if (!graph->result) return result;
  solve::Edge edge = op::to_solver(*graph, context_->ports);
  result.ref = std::make_shared<BuildRef>(context_->refs, std::move(graph), std::move(edge), scope_);
  return result;
}

Result<frontend::SolveResult> BuildBridge::solve_frontend(const frontend::SolveRequest& request, std::stop_token stop) {
  const FrontendCall call = settled_call({request.frontend, request.frontend_opts, request.frontend_inputs});
  auto found = context_->frontends.find(call.frontend);
  if (found == context_->frontends.end()) {
    return user_error(Code::kNotFound, fmt::format("invalid frontend: {}", request.frontend));
  }
  BuildBridge nested(context_, call.opts, call.inputs, scope_->call(call));
  auto result = found->second->build(nested, stop);
  if (result.ok() || is_cancelled(result.status())) return result;
  Status failed = result.status();
  errdefs::Frontend detail;
  detail.set_name(request.frontend);
  if (auto source = request.frontend_opts.find("source"); source != request.frontend_opts.end())
    detail.set_source(source->second);
  add_detail(failed, kDetailFrontend, detail.SerializeAsString());
  return failed;
}

Result<frontend::ImageConfig> BuildBridge::resolve_image_config(const std::string& ref,
                                                                const frontend::ResolveOptions& options,
                                                                std::stop_token stop) {
  KILN_RETURN_IF_ERROR(add_rules(options.source_policies));
  const std::string scheme = options.oci_store ? "oci-layout://" : "docker-image://";
  graph::Op op;
  op.kind = graph::SourceOp{.identifier = scheme + ref, .attrs = {}};
  op.platform = options.platform;
  KILN_RETURN_IF_ERROR(annotate(check_source(*context_, op, stop).status(), kPolicyRefused));
  const std::string& decided = std::get<graph::SourceOp>(op.kind).identifier;
  if (!decided.starts_with(scheme)) {
    Status moved = user_error(Code::kFailedPrecondition,
                              fmt::format("ref mutated by policy to non-image: {}{} -> {}", scheme, ref, decided));
    set_detail(moved, frontend::kDetailNotAnImage, decided);  // a named context may go on from there
    return moved;
  }
  const std::string name = decided.substr(scheme.size());
  InternalStep step(context_->build->events(),
                    options.log_name.empty() ? "resolve image config for " + decided : options.log_name);
  auto meta = context_->meta->resolve_image(name, options.platform, to_meta_options(options), asker(step, stop));
  step.done(meta.status());
  if (!meta.ok()) return meta.status();
  scope_->add_image({name, options.platform, meta->digest.str(), options.oci_store.has_value()});
  return frontend::ImageConfig{name, meta->digest, std::move(meta->config)};
}

Result<frontend::SourceMeta> BuildBridge::resolve_source(const graph::SourceOp& source,
                                                         const std::optional<Platform>& platform,
                                                         const frontend::ResolveOptions& options,
                                                         std::stop_token stop) {
  KILN_RETURN_IF_ERROR(add_rules(options.source_policies));
  graph::Op op;
  op.kind = source;
  op.platform = platform ? platform : options.platform;
  KILN_RETURN_IF_ERROR(annotate(check_source(*context_, op, stop).status(), kPolicyRefused));
  return resolve_decided(*context_, scope_.get(), std::get<graph::SourceOp>(op.kind), platform, options, stop);
}

Status BuildBridge::add_rules(const std::vector<std::string>& policies) {
  for (const std::string& policy : policies) {
    if (context_->rules) KILN_RETURN_IF_ERROR(context_->rules->add(policy));
  }
  return ok();
}

Status BuildBridge::warn(const frontend::Warning& warning) {
  event::VertexWarning out;
  out.vertex = warning.vertex;
  out.level = warning.level;
  out.short_text = warning.short_text;
  out.detail = warning.detail;
  out.url = warning.url;
  if (warning.source) {
    if (const auto& info = warning.source->info) {
      out.source = std::make_shared<event::SourceInfo>(
          event::SourceInfo{info->filename, info->data, info->language, info->definition});
    }
    for (const auto& range : warning.source->ranges) {
      out.ranges.push_back({{range.start.line, range.start.character}, {range.end.line, range.end.character}});
    }
  }
  context_->build->events().on(out);
  return ok();
}

}  // namespace kiln::daemon
