// The life of a build, in order. docs/life-of-a-build.md tells the same list with the data that
// flows; a test compares the headings.
#include "daemon/build.h"

#include <future>

#include "base/log.h"
#include "base/parallel.h"
#include "daemon/egress.h"
#include "daemon/gateway.h"
#include "daemon/internal_step.h"
#include "daemon/kept_images.h"
#include "daemon/result_origin.h"
#include "daemon/sbom_fallback.h"
#include "export/platform_check.h"
#include "op/tree_output.h"
#include "session/export_target.h"

namespace kiln::daemon {
namespace {

// A graph found inside a step (BuildOp) is solved by the job of the build that began the step.
Result<store::TreeRef> solve_nested(std::shared_ptr<BridgeContext> build, const graph::Definition& definition,
                                    solve::RunContext& context) {
  if (!build) return cancelled("the build that began this step has ended");
  KILN_ASSIGN_OR_RETURN(auto graph, load_graph(*build, definition, context.stop));
  if (!graph->result) return store::TreeRef();
  KILN_ASSIGN_OR_RETURN(auto solved, build->refs->job->solve(op::to_solver(*graph, build->ports), context.stop));
  return op::tree_of(solved.output);
}

void warn(event::Reporter& step, const std::vector<std::string>& warnings) {
  for (const std::string& text : warnings) {
    event::VertexWarning warning;
    warning.short_text = text;
    step.warn(std::move(warning));
  }
}

// One build under way. The member functions are the steps of its life, called in order by live().
class BuildLife {
 public:
  BuildLife(const BuildParts& parts, RunningBuild& build, std::stop_token stop)
      : parts_(parts), build_(build), request_(build.request()), stop_(std::move(stop)) {}

  ~BuildLife();

  Result<SolveResponse> live();

 private:
  struct Export {
    std::unique_ptr<exporter::Exporter> exporter;
    std::unique_ptr<exporter::PendingExport> pending;
    std::shared_ptr<InternalStep> step;
    bool published = false;
  };

  // A step of the life, as a span of the build's trace.
  Status timed(const char* name, Status (BuildLife::*step)()) {
    observe::BuildTrace::Scope span(build_.trace(), name);
    return (this->*step)();
  }
  Status accept();
  Status begin();
  void import_cache(const frontend::CacheImport& import);
  void import_caches();
  void read_imports();
  Status ask_frontend();
  Status solve_result();
  Platform scanner_platform() const;
  Status ask_exporters();
  Status leave();
  Status leave_once();
  Status export_result();
  Status make_export(std::size_t index, const std::vector<std::string>& warnings);
  bool solve_without(const std::string& lost_layer);
  Status export_caches();
  Status publish();
  SolveResponse answer();
  void keep_image_later(std::unique_ptr<exporter::PendingExport> pending, const content::Descriptor& root);

  Result<frontend::SolveResult> wait_for_client();
  Status add_tree(const std::string& key, const frontend::RefPtr& ref);
  Status add_attestation(const std::string& key, const frontend::Attestation& attestation);
  exporter::ExportContext export_context(event::Reporter& reporter, int index);
  session::SessionGroup own_session() const;
  std::vector<solve::CacheSource> imported();
  Status read_policy();

  const BuildParts& parts_;
  RunningBuild& build_;
  const SolveRequest& request_;
  std::stop_token stop_;
  std::optional<ProvenanceOptions> provenance_;
  Entitlements entitlements_;

  std::vector<Export> exports_;
  struct NamedCacheExport {
    std::string type;
    std::unique_ptr<remotecache::CacheExport> out;
  };
  std::vector<NamedCacheExport> cache_exports_;
  bool inline_cache_ = false;
  std::shared_ptr<solve::Job> job_;
  std::shared_ptr<BridgeContext> context_;
  std::mutex imports_mutex_;
  std::map<std::string, std::shared_ptr<std::once_flag>> imports_;  // by type and attributes
  std::vector<solve::CacheSource> imported_;
  std::shared_ptr<std::promise<void>> imports_told_;  // until they begin to be read
  std::unique_ptr<BuildBridge> bridge_;
  std::shared_ptr<Gateway> gateway_;  // while the frontend runs at the client
  frontend::SolveResult result_;
  exporter::BuildResult solved_;
  std::shared_ptr<ResultOrigin> origin_;                   // lives on until the record is written
  std::map<std::string, remotecache::Exported> exported_;  // by key of tree, "" for a single one
  Attrs cache_response_;
};

Result<SolveResponse> BuildLife::live() {
  KILN_RETURN_IF_ERROR(accept());
  KILN_RETURN_IF_ERROR(begin());
  import_caches();
  KILN_RETURN_IF_ERROR(timed("ask the frontend", &BuildLife::ask_frontend));
  KILN_RETURN_IF_ERROR(timed("solve the result", &BuildLife::solve_result));
  Status left = leave();
  origin_->keep(provenance_ ? provenance_->builder_id : "");
  KILN_RETURN_IF_ERROR(left);
  SolveResponse response = answer();
  if (request_.enable_session_exporter) {
    session::ExportTarget client(own_session(), request_.session);
    const Status told = client.finalize(response.exporter_response, stop_);
    if (!absl::IsUnavailable(told) && !absl::IsUnimplemented(told)) KILN_RETURN_IF_ERROR(told);
  }
  return response;
}

// Everything by which the result leaves the daemon. Bytes that a cache promised may turn out to be lost at any
// moment of it: the steps that they stood for run, and what has not left yet is made of that.
Status BuildLife::leave() {
  if (request_.enable_session_exporter) KILN_RETURN_IF_ERROR(ask_exporters());
  for (;;) {
    const Status left = leave_once();
    const std::optional<std::string> lost = get_detail(left, store::kLostTreeDetail);
    if (!lost || !solve_without(*lost)) return left;
    log_warn("a layer was lost and is made again: {}", message_of(left));
    for (Export& out : exports_) {
      if (!out.published && out.pending && !out.pending->has_left()) out.pending.reset();
    }
    solved_ = {};
    exported_.clear();
    KILN_RETURN_IF_ERROR(solve_result());
  }
}

Status BuildLife::leave_once() {
  KILN_RETURN_IF_ERROR(timed("export the result", &BuildLife::export_result));
  KILN_RETURN_IF_ERROR(timed("export caches", &BuildLife::export_caches));
  return timed("publish", &BuildLife::publish);
}

// 1. Accept: whatever is wrong with the request is said before anything runs.
Status BuildLife::accept() {
  KILN_ASSIGN_OR_RETURN(entitlements_, Entitlements::parse(request_.entitlements, parts_.allowed_entitlements));
  KILN_ASSIGN_OR_RETURN(provenance_, provenance_options(request_.frontend_attrs));
  KILN_RETURN_IF_ERROR(check_sbom_request(request_.frontend_attrs));
  for (const auto& spec : request_.exporters) {
    KILN_ASSIGN_OR_RETURN(auto made, exporter::make_exporter(spec.type, spec.attrs, parts_.exports));
    exports_.push_back({std::move(made), nullptr, nullptr});
  }
  for (const auto& spec : request_.cache_exports) {
    KILN_ASSIGN_OR_RETURN(auto made, remotecache::make_cache_export({spec.type, spec.attrs}, parts_.caches));
    inline_cache_ |= made->is_inline();
    if (!made->is_inline()) cache_exports_.push_back({spec.type, std::move(made)});
  }
  return ok();
}

// 2. Begin: a job at the solver holds everything the build wants.
Status BuildLife::begin() {
  job_ = parts_.solver->new_job({&build_.events(), {request_.session}, {}, &build_.misses()});
  auto refs = std::make_shared<RefContext>();
  refs->job = job_;
  refs->trees = parts_.ops.trees;
  imports_told_ = std::make_shared<std::promise<void>>();
  refs->imports = imports_told_->get_future().share();
  context_ = std::make_shared<BridgeContext>();
  context_->build = &build_;
  context_->refs = std::move(refs);
  context_->ports = parts_.ops;
  context_->sessions = parts_.sessions;
  context_->meta = parts_.meta;
  context_->frontends = parts_.frontends;
  context_->workers = parts_.workers();
  context_->entitlements = entitlements_;
  context_->ports.proxied = parts_.proxied || request_.proxy_network;
  context_->ports.sample_usage = provenance_ && provenance_->capture_usage;
  context_->ports.decide_fetch = egress_rules(context_);
  context_->ports.trace_parent = request_.trace_parent;
  context_->ports.solve_nested = [weak = std::weak_ptr(context_)](const graph::Definition& definition,
                                                                  solve::RunContext& run) {
    return solve_nested(weak.lock(), definition, run);
  };
  context_->ports.on_exec_failure = [failed = context_->failed](const graph::Vertex& vertex,
                                                                std::vector<store::TreeRef> inputs,
                                                                std::vector<store::TreeRef> mounts, Status& error) {
    failed->keep(vertex, inputs, mounts, error);
  };
  context_->ports.on_content_failure = [failed = context_->failed](const graph::Vertex& vertex, int input,
                                                                   const store::TreeRef& tree, Status& error) {
    failed->keep_unkeyed(vertex, input, tree, error);
  };
  context_->import_cache = [this](const frontend::CacheImport& import) { import_cache(import); };
  origin_ = std::make_shared<ResultOrigin>(parts_, build_, context_);
  auto scope = RequestScope::of_build(
      settled_call({request_.frontend, request_.frontend_attrs, request_.frontend_inputs}), parts_.producers);
  bridge_ =
      std::make_unique<BuildBridge>(context_, request_.frontend_attrs, request_.frontend_inputs, std::move(scope));
  return read_policy();
}

// What the request says about sources, asked before each is used.
Status BuildLife::read_policy() {
  context_->rules = std::make_shared<SourceRules>(own_session(), request_.source_policy_session);
  return request_.source_policy ? context_->rules->add(*request_.source_policy) : ok();
}

session::SessionGroup BuildLife::own_session() const {
  return {*parts_.sessions, [id = request_.session] { return std::vector<std::string>{id}; }};
}

std::vector<solve::CacheSource> BuildLife::imported() {
  std::lock_guard lock(imports_mutex_);
  return imported_;
}

// Each different cache once; whoever asks for it again waits until it is there.
void BuildLife::import_cache(const frontend::CacheImport& import) {
  std::string id = import.type;
  for (const auto& [key, value] : import.attrs) id += "\n" + key + "=" + value;
  std::shared_ptr<std::once_flag> once;
  {
    std::lock_guard lock(imports_mutex_);
    auto& slot = imports_[id];
    if (!slot) slot = std::make_shared<std::once_flag>();
    once = slot;
  }
  std::call_once(*once, [&] {
    auto label = import.attrs.find("ref");
    auto step = std::make_shared<InternalStep>(
        build_.events(),
        "importing cache manifest from " + (label == import.attrs.end() ? import.type : label->second));
    auto source = remotecache::make_cache_import({import.type, import.attrs}, parts_.caches,
                                                 {stop_, step, own_session(), request_.session});
    step->done(source.status());
    if (!source.ok()) return log_warn("cache import: {}", message_of(source.status()));
    job_->add_import(*source);
    std::lock_guard lock(imports_mutex_);
    imported_.push_back(*std::move(source));
  });
}

// 3. Import caches: further places to look for records. All are read at once, while the frontend reads its
// files; what it wants made waits for them.
void BuildLife::import_caches() {
  auto told = std::exchange(imports_told_, nullptr);
  if (request_.cache_imports.empty()) return told->set_value();
  parts_.pool->submit([this, told] {
    read_imports();
    told->set_value();
  });
}

void BuildLife::read_imports() {
  std::vector<std::function<Status()>> tasks;
  for (const auto& spec : request_.cache_imports) {
    tasks.push_back([this, &spec] {
      context_->import_cache({spec.type, spec.attrs});
      return ok();
    });
  }
  (void)run_parallel(parts_.pool, std::move(tasks));
}

// 4. Ask the frontend: text becomes a graph. The graph may also come ready made, or from a frontend
// that runs at the client.
Status BuildLife::ask_frontend() {
  if (!request_.definition && request_.frontend.empty()) {
    KILN_ASSIGN_OR_RETURN(result_, wait_for_client());
    return ok();
  }
  frontend::SolveRequest ask;
  ask.definition = request_.definition;
  ask.frontend = request_.frontend;
  ask.frontend_opts = request_.frontend_attrs;
  ask.frontend_inputs = request_.frontend_inputs;
  KILN_ASSIGN_OR_RETURN(result_, bridge_->solve(ask, stop_));
  return ok();
}

// The client's frontend may look into its refs until the build has ended.
Result<frontend::SolveResult> BuildLife::wait_for_client() {
  auto containers = parts_.make_containers ? parts_.make_containers(build_, context_) : nullptr;
  gateway_ = std::make_shared<Gateway>(*bridge_, containers);
  build_.serve(gateway_);
  return gateway_->wait(stop_);
}

BuildLife::~BuildLife() {
  imports_told_.reset();  // nobody waits for what does not begin
  if (context_ && context_->refs->imports.valid()) context_->refs->imports.wait();
  if (!gateway_) return;
  build_.serve(nullptr);
  gateway_->close();
}

// 5. Solve the result: every tree that leaves is made, or found, now.
Status BuildLife::solve_result() {
  std::vector<std::pair<std::string, frontend::RefPtr>> wanted;
  if (result_.is_map()) {
    for (const auto& [key, ref] : result_.refs) wanted.emplace_back(key, ref);
  } else {
    wanted.emplace_back("", result_.ref);
  }
  std::mutex mutex;
  std::vector<std::function<Status()>> tasks;
  for (const auto& [key, ref] : wanted) {
    tasks.push_back([&, key = key, ref = ref]() -> Status {
      remotecache::Exported out;
      if (ref) {
        KILN_ASSIGN_OR_RETURN(auto solved, static_cast<BuildRef&>(*ref).solved(stop_));
        out = {solved.keys, op::tree_of(solved.output)};
      }
      std::lock_guard lock(mutex);
      exported_[key] = std::move(out);
      return ok();
    });
  }
  KILN_RETURN_IF_ERROR(run_parallel(parts_.pool, std::move(tasks)));
  for (const auto& [key, exported] : exported_) {
    if (key.empty()) {
      solved_.tree = exported.tree;
    } else {
      solved_.trees[key] = exported.tree;
    }
  }
  solved_.metadata = result_.metadata;
  KILN_RETURN_IF_ERROR(origin_->capture(result_));
  KILN_RETURN_IF_ERROR(add_missing_sboms(*bridge_, request_.frontend_attrs, scanner_platform(), result_, stop_));
  for (const auto& [key, attestations] : result_.attestations) {
    for (const auto& attestation : attestations) KILN_RETURN_IF_ERROR(add_attestation(key, attestation));
  }
  return provenance_ ? origin_->attest(*provenance_, solved_) : ok();
}

Platform BuildLife::scanner_platform() const {
  const auto& workers = context_->workers;
  return workers.empty() || workers[0].platforms.empty() ? Platform::host().normalized() : workers[0].platforms[0];
}

Status BuildLife::add_attestation(const std::string& key, const frontend::Attestation& in) {
  exporter::Attestation out;
  out.kind = in.kind == frontend::AttestationKind::kBundle ? exporter::AttestationKind::kBundle
                                                           : exporter::AttestationKind::kInToto;
  out.metadata = in.metadata;
  out.path = in.path;
  out.predicate_type = in.predicate_type;
  for (const auto& subject : in.subjects) {
    out.subjects.push_back({subject.kind == frontend::SubjectKind::kSelf, subject.name, subject.digests});
  }
  if (in.ref) {
    KILN_ASSIGN_OR_RETURN(auto solved, static_cast<BuildRef&>(*in.ref).solved(stop_));
    out.tree = op::tree_of(solved.output);
  }
  solved_.attestations[key].push_back(std::move(out));
  return ok();
}

exporter::ExportContext BuildLife::export_context(event::Reporter& reporter, int index) {
  return {stop_, reporter, own_session(), request_.session, request_.ref, index, request_.compatibility_version};
}

// The client may choose exporters now that it can see the result.
Status BuildLife::ask_exporters() {
  session::ExportTarget client(own_session(), request_.session);
  if (!client.offers_exporters(stop_)) return ok();
  std::vector<std::string> ids;
  for (const auto& [key, exported] : exported_) {
    if (exported.tree) ids.push_back(exported.tree->id());
  }
  auto chosen = client.find_exporters(solved_.metadata, ids, stop_);
  // A client that has nothing to say says so in one of these ways.
  if (absl::IsUnavailable(chosen.status()) || absl::IsUnimplemented(chosen.status())) return ok();
  KILN_RETURN_IF_ERROR(chosen.status());
  for (auto& one : *chosen) {
    KILN_ASSIGN_OR_RETURN(auto made, exporter::make_exporter(one.type, one.attributes, parts_.exports));
    exports_.push_back({std::move(made), nullptr, nullptr});
  }
  return ok();
}

// A cache promised a layer that nobody can give now: the steps that it stood for run.
bool BuildLife::solve_without(const std::string& lost_layer) {
  std::vector<frontend::RefPtr> refs = {result_.ref};
  for (const auto& [key, ref] : result_.refs) refs.push_back(ref);
  bool changed = false;
  for (const auto& ref : refs) {
    if (ref && static_cast<BuildRef&>(*ref).solve_without(lost_layer, stop_)) changed = true;
  }
  return changed;
}

// 6. Export: the bytes of every exporter are made.
Status BuildLife::export_result() {
  if (inline_cache_) {
    solved_.inline_cache = [this](const std::string& key,
                                  const std::vector<store::LayerBlob>& layers) -> Result<std::string> {
      auto it = exported_.find(key);
      if (it == exported_.end()) return std::string();
      return remotecache::inline_cache(it->second, layers, parts_.caches, imported());
    };
  }
  std::vector<std::function<Status()>> tasks;
  const auto asked = request_.frontend_attrs.find("platform");
  const std::vector<std::string> warnings =
      exporter::platform_warnings(solved_, asked == request_.frontend_attrs.end() ? std::string() : asked->second);
  if (exports_.empty() && !warnings.empty()) {
    InternalStep step(build_.events(), "Verifying build result");
    warn(step, warnings);
    step.done(ok());
  }
  for (std::size_t i = 0; i < exports_.size(); ++i) {
    if (!exports_[i].pending) tasks.push_back([this, i, &warnings] { return make_export(i, warnings); });
  }
  return run_parallel(parts_.pool, std::move(tasks));
}

Status BuildLife::make_export(std::size_t index, const std::vector<std::string>& warnings) {
  Export& out = exports_[index];
  out.step = std::make_shared<InternalStep>(build_.events(), out.exporter->vertex_name());
  if (index == 0) warn(*out.step, warnings);
  auto context = export_context(*out.step, static_cast<int>(index));
  auto pending = out.exporter->run(solved_, context);
  if (!pending.ok()) {
    out.step->done(pending.status());
    return pending.status();
  }
  out.pending = *std::move(pending);
  return ok();
}

// 7. Export caches: records and layers for other daemons.
Status BuildLife::export_caches() {
  std::vector<remotecache::Exported> results;
  for (const auto& [key, exported] : exported_) {
    if (!exported.keys.empty()) results.push_back(exported);
  }
  std::vector<Attrs> responses(cache_exports_.size());
  std::vector<std::function<Status()>> tasks;
  for (std::size_t i = 0; i < cache_exports_.size(); ++i) {
    tasks.push_back([&, out = cache_exports_[i].out.get(), i]() -> Status {
      InternalStep step(build_.events(), out->vertex_name());
      remotecache::Context context{stop_, step, own_session(), request_.session, imported()};
      auto response = out->run(results, context);
      step.done(response.status());
      if (!response.ok()) return out->ignore_error() && !is_cancelled(response.status()) ? ok() : response.status();
      responses[i] = *std::move(response);
      return ok();
    });
  }
  KILN_RETURN_IF_ERROR(run_parallel(parts_.pool, std::move(tasks)));
  // The last of them speaks for all; but a client names the manifest in its directories, so these go first.
  cache_response_.clear();
  for (const bool local : {true, false}) {
    for (std::size_t i = responses.size(); i-- > 0;) {
      if ((cache_exports_[i].type == "local") == local)
        cache_response_.insert(responses[i].begin(), responses[i].end());
    }
  }
  return ok();
}

// 8. Publish: pushes, names, files at the client.
Status BuildLife::publish() {
  std::vector<std::function<Status()>> tasks;
  for (std::size_t i = 0; i < exports_.size(); ++i) {
    if (exports_[i].published) continue;
    tasks.push_back([this, i]() -> Status {
      auto& out = exports_[i];
      auto context = export_context(*out.step, static_cast<int>(i));
      Status status = out.pending->finish(context);
      out.step->done(status);
      out.published = status.ok();
      return status;
    });
  }
  return run_parallel(parts_.pool, std::move(tasks));
}

// What describes an image stays with the build's record. The export holds it until it was copied.
void BuildLife::keep_image_later(std::unique_ptr<exporter::PendingExport> pending, const content::Descriptor& root) {
  if (parts_.history == nullptr || build_.request().internal) return;
  std::shared_ptr<exporter::PendingExport> held = std::move(pending);
  build_.add_afterwards(
      [held = std::move(held), root, &build = build_, blobs = parts_.exports.blobs, history = parts_.history] {
        build.keep_blobs(keep_image(*blobs, *history, root));
        return ok();
      });
}

// 9. Answer: what the client is told, and what the record keeps.
SolveResponse BuildLife::answer() {
  SolveResponse out;
  for (const auto& [key, value] : solved_.metadata) {
    if (key.starts_with("frontend.")) out.exporter_response[key] = value;
  }
  for (std::size_t i = 0; i < exports_.size(); ++i) {
    auto& pending = exports_[i].pending;
    for (const auto& [key, value] : pending->response()) out.exporter_response[key] = value;
    if (auto descriptor = pending->descriptor()) {
      build_.add_result(static_cast<std::int64_t>(i),
                        {descriptor->media_type,
                         descriptor->digest.str(),
                         descriptor->size,
                         {descriptor->annotations.begin(), descriptor->annotations.end()}});
      keep_image_later(std::move(pending), *descriptor);
    }
  }
  out.exporter_response.insert(cache_response_.begin(), cache_response_.end());
  return out;
}

}  // namespace

Result<SolveResponse> BuildEngine::run(RunningBuild& build, std::stop_token stop) {
  BuildLife life(parts_, build, std::move(stop));
  return life.live();
}

}  // namespace kiln::daemon
