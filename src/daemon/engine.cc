// The wiring: every room is opened here, given its options and handed to those that need it.
#include "daemon/engine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "cache/record_store_db.h"
#include "content/blob_store_file.h"
#include "daemon/build.h"
#include "daemon/gateway_containers.h"
#include "daemon/gateway_frontend.h"
#include "daemon/usage.h"
#include "daemon/worker_facts.h"
#include "db/database.h"
#include "frontend/dockerfile/frontend.h"
#include "host/fs.h"
#include "op/step_records.h"
#include "op/tree_output.h"
#include "registry/client.h"
#include "sandbox/proxy/proxy_network.h"
#include "sandbox/runtime.h"
#include "session/credentials.h"
#include "source/blob.h"
#include "source/git.h"
#include "source/http_source.h"
#include "source/image.h"
#include "source/local.h"
#include "source/pins.h"

namespace kiln::daemon {
namespace {

constexpr const char* kUserAgent = "buildkit/v0.25 kiln";

class PoolSpawner final : public solve::Spawner {
 public:
  explicit PoolSpawner(Pool& pool) : pool_(pool) {}
  void spawn(std::function<void()> task) override { pool_.submit(std::move(task)); }

 private:
  Pool& pool_;
};

class WiredEngine final : public Engine {
 public:
  WiredEngine(const Config& config, const EngineGround& ground) : config_(config), ground_(ground) {}
  ~WiredEngine() override;
  Status open();

  BuildRunner& runner() override { return *builds_; }
  frontend::WorkerInfo worker() override { return worker_info(config_, facts_, ground_.worker_id); }
  std::vector<store::PruneOptions> gc_policy() override;
  Result<std::vector<store::Usage>> usage(const std::vector<std::string>& filters, Duration age_limit,
                                          std::stop_token stop) override {
    return trees_->du(filters, stop, age_limit);
  }
  Status prune(const store::PruneOptions& options, const std::function<void(const store::Usage&)>& removed,
               std::stop_token stop) override;
  Status collect(std::stop_token stop) override;
  content::BlobStore& blobs() override { return *blobs_; }

 private:
  Status open_stores();
  Status open_registry();
  void open_sources();
  Status open_sandbox();
  void open_solver();
  BuildParts parts();
  std::optional<host::SpaceReserve::Loan> lend_room() {
    if (!ground_.reserve) return std::nullopt;
    return ground_.reserve->lend();
  }

  Config config_;
  EngineGround ground_;
  WorkerFacts facts_;
  source::Pins pins_;
  MachineUsage machine_{*ground_.pool};

  std::unique_ptr<content::FileBlobStore> blobs_;
  std::unique_ptr<db::Database> key_db_;
  std::shared_ptr<cache::DbRecordStore> records_;
  std::unique_ptr<store::Trees> trees_;
  std::unique_ptr<registry::Transport> http_;
  std::unique_ptr<registry::Registry> registry_;
  std::shared_ptr<source::ImageSource> images_;
  std::unique_ptr<source::Sources> sources_;
  std::unique_ptr<source::MetaResolver> meta_;
  const std::shared_ptr<op::StepRecords> step_records_ = std::make_shared<op::StepRecords>();
  std::unique_ptr<sandbox::proxy::ProxyNetwork> proxies_;
  std::unique_ptr<sandbox::Runtime> runtime_;
  std::unique_ptr<solve::Solver> solver_;
  std::unique_ptr<BuildEngine> builds_;
};

WiredEngine::~WiredEngine() {
  builds_.reset();
  solver_.reset();
  ground_.pool->drain();  // what the solver still gives up uses the rooms below
}

Status WiredEngine::open() {
  KILN_RETURN_IF_ERROR(open_stores());
  KILN_RETURN_IF_ERROR(open_registry());
  open_sources();
  KILN_RETURN_IF_ERROR(open_sandbox());
  open_solver();
  builds_ = std::make_unique<BuildEngine>(parts());
  return ok();
}

Status WiredEngine::open_stores() {
  KILN_RETURN_IF_ERROR(host::make_dirs(config_.root, 0711));
  KILN_ASSIGN_OR_RETURN(blobs_, content::FileBlobStore::open(config_.root + "/content"));
  KILN_ASSIGN_OR_RETURN(
      key_db_, db::Database::open({.path = config_.root + "/keys.db", .migrations = cache::record_migrations()}));
  records_ = std::make_shared<cache::DbRecordStore>(*key_db_);
  store::TreesOptions options;
  options.root = config_.root + "/trees";
  options.blobs = blobs_.get();
  options.pool = ground_.pool;
  options.snapshotter = config_.worker.snapshotter;
  auto disk = host::disk_space(config_.root);
  if (disk.ok()) options.layer_bytes_max = static_cast<std::uint64_t>(config_.worker.layer_max.of(*disk));
  options.on_removed = [records = records_, local = config_.root + "/local"](const std::string& id) {
    records->forget(id);
    source::forget_local_index(local, id);
  };
  KILN_ASSIGN_OR_RETURN(trees_, store::Trees::open(std::move(options)));
  facts_.snapshotter = trees_->snapshotter_name();
  return ok();
}

Status WiredEngine::open_registry() {
  http_ = registry::make_curl_transport({.user_agent = kUserAgent});
  registry::Options options;
  options.hosts = config_.registries;
  options.user_agent = kUserAgent;
  options.concurrency = config_.registry_concurrency;
  registry_ = std::make_unique<registry::Registry>(*http_, std::move(options));
  return ok();
}

void WiredEngine::open_sources() {
  source::ImageSourceOptions image;
  image.trees = trees_.get();
  image.blobs = blobs_.get();
  image.registry = registry_.get();
  image.sessions = ground_.sessions;
  images_ = std::make_shared<source::ImageSource>(image);
  auto http = std::make_shared<source::HttpSource>(source::HttpSourceOptions{trees_.get(), http_.get()});
  auto git = std::make_shared<source::GitSource>(source::GitSourceOptions{
      trees_.get(), [images = images_](const source::ImagePlace& place, const source::Asker& asker) {
        content::Descriptor blob;
        blob.digest = place.ref.digest;
        return images->provider(place, asker)->open(blob, 0, asker.stop);
      }});
  sources_ = std::make_unique<source::Sources>();
  sources_->add(images_);
  sources_->add(std::make_shared<source::BlobSource>(images_));
  sources_->add(http);
  sources_->add(git);
  sources_->add(
      std::make_shared<source::LocalSource>(source::LocalSourceOptions{trees_.get(), config_.root + "/local"}));
  meta_ = std::make_unique<source::MetaResolver>(images_, git, http);
}

Status WiredEngine::open_sandbox() {
  sandbox::RuntimeOptions options;
  options.state_root = config_.root + "/sandbox";
  options.binary = config_.worker.binary;
  options.default_cgroup_parent = config_.worker.default_cgroup_parent;
  options.dns = {config_.dns.nameservers, config_.dns.options, config_.dns.search_domains};
  options.no_process_sandbox = config_.worker.no_process_sandbox;
  options.apparmor_profile = config_.worker.apparmor_profile;
  options.selinux = config_.worker.selinux;
  KILN_ASSIGN_OR_RETURN(auto network, open_network(config_));
  facts_.network = network ? network->label() : "host";
  options.network = network;
  proxies_ = std::make_unique<sandbox::proxy::ProxyNetwork>(std::move(network));
  constexpr Duration kPlatformsAge = std::chrono::seconds(20);
  facts_.architectures = std::make_shared<sandbox::Architectures>(config_.platforms_age_max.value_or(kPlatformsAge));
  if (!config_.cdi_disabled) {
    facts_.devices = std::make_shared<sandbox::ContainerDevices>(sandbox::ContainerDevicesOptions{
        .folders = config_.cdi_spec_dirs,
        .auto_allowed = {config_.cdi_auto_allowed.begin(), config_.cdi_auto_allowed.end()}});
  }
  KILN_ASSIGN_OR_RETURN(runtime_, sandbox::open_runtime(std::move(options)));
  log_debug("steps run by {}", runtime_->name());
  return ok();
}

void WiredEngine::open_solver() {
  solve::SolverOptions options;
  options.spawner = std::make_shared<PoolSpawner>(*ground_.pool);
  options.own = {records_, std::make_shared<op::TreeOutputs>(*trees_)};
  options.parallelism_max = config_.worker.max_parallelism;
  solver_ = std::make_unique<solve::Solver>(std::move(options));
}

BuildParts WiredEngine::parts() {
  auto credentials = [](session::SessionGroup group) { return session::session_credentials(std::move(group)); };
  BuildParts out;
  out.solver = solver_.get();
  out.ops.trees = trees_.get();
  out.ops.pool = ground_.pool;
  out.ops.sessions = ground_.sessions;
  out.ops.runtime = runtime_.get();
  out.ops.devices = facts_.devices;
  out.ops.proxies = proxies_.get();
  out.ops.step_records = step_records_;
  out.ops.trace_socket = ground_.trace_socket;
  out.ops.architectures = facts_.architectures.get();
  out.proxied = config_.proxy_network;
  out.ops.sources = sources_.get();
  out.exports = {trees_.get(), blobs_.get(), registry_.get(), ground_.sessions, ground_.pool, credentials};
  out.caches.trees = trees_.get();
  out.caches.blobs = blobs_.get();
  out.caches.registry = registry_.get();
  out.caches.http = http_.get();
  out.caches.pool = ground_.pool;
  out.caches.sessions = ground_.sessions;
  out.caches.records = records_.get();
  out.caches.credentials = credentials;
  out.caches.make_output = op::make_output;
  out.caches.tree_of = op::tree_of;
  out.sessions = ground_.sessions;
  out.meta = meta_.get();
  out.pool = ground_.pool;
  out.pins = &pins_;
  out.ops.pins = &pins_;
  out.machine = &machine_;
  out.history = ground_.history;
  if (auto environment = load_provenance_environment(config_.provenance_env_dir); environment.ok()) {
    out.provenance_environment = std::move(environment).value();
  } else {
    log_warn("provenance environment: {}", message_of(environment.status()));
  }
  if (config_.dockerfile_frontend) out.frontends["dockerfile.v0"] = frontend::dockerfile::make_frontend();
  if (config_.gateway_frontend) {
    GatewayFrontendPorts ports{ground_.pool, trees_.get(), runtime_.get(), config_.gateway_repositories};
    out.frontends["gateway.v0"] = std::make_shared<GatewayFrontend>(std::move(ports));
  }
  out.make_containers = make_gateway_containers;
  out.workers = [this] { return std::vector{worker()}; };
  out.allowed_entitlements = {config_.entitlements.begin(), config_.entitlements.end()};
  // Which devices there are the machine's owner has decided already.
  if (facts_.devices) out.allowed_entitlements.insert("device");
  return out;
}

std::vector<store::PruneOptions> WiredEngine::gc_policy() {
  auto disk = host::disk_space(config_.root);
  return gc_policy_of(config_, disk.ok() ? *disk : host::DiskSpace{});
}

Status WiredEngine::prune(const store::PruneOptions& options, const std::function<void(const store::Usage&)>& removed,
                          std::stop_token stop) {
  auto room = lend_room();
  images_->release_looked_at();
  return trees_->prune({options}, stop, removed).status();
}

Status WiredEngine::collect(std::stop_token stop) {
  auto policy = gc_policy();
  if (policy.empty()) return ok();
  auto room = lend_room();
  return trees_->prune(policy, stop).status();
}

}  // namespace

Result<std::unique_ptr<Engine>> open_engine(const Config& config, const EngineGround& ground) {
  auto engine = std::make_unique<WiredEngine>(config, ground);
  KILN_RETURN_IF_ERROR(engine->open());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace kiln::daemon
