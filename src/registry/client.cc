#include "registry/client.h"

#include "registry/exchange.h"
#include "registry/pull.h"
#include "registry/push.h"
#include "registry/push_memory.h"

namespace kiln::registry {
namespace {

class NobodyInParticular final : public Credentials {
 public:
  Result<std::string> identity(const std::string&, std::stop_token) override { return std::string(); }
  Result<Login> login(const std::string&, std::stop_token) override { return Login{}; }
  Result<std::optional<Token>> fetch_token(const TokenRequest&, std::stop_token) override {
    return std::optional<Token>();
  }
};

class FixedLogin final : public Credentials {
 public:
  explicit FixedLogin(Login login) : login_(std::move(login)) {}
  Result<std::string> identity(const std::string&, std::stop_token) override {
    return Digest::of(login_.username + "\n" + login_.secret).str();
  }
  Result<Login> login(const std::string&, std::stop_token) override { return login_; }
  Result<std::optional<Token>> fetch_token(const TokenRequest&, std::stop_token) override {
    return std::optional<Token>();
  }

 private:
  Login login_;
};

Access with_credentials(Access access) {
  if (!access.credentials) access.credentials = anonymous();
  return access;
}

}  // namespace

std::shared_ptr<Credentials> anonymous() { return std::make_shared<NobodyInParticular>(); }

std::shared_ptr<Credentials> fixed_login(Login login) { return std::make_shared<FixedLogin>(std::move(login)); }

struct Registry::State {
  State(Transport& http, Options given) : options(std::move(given)), exchange(http, options) {}
  Options options;
  Exchange exchange;
  PushMemory pushes{system_clock()};
};

namespace {

// Keeps the registry's state alive as long as lazy layers may read through it.
template <typename State>
class RepositoryProvider final : public content::BlobProvider {
 public:
  RepositoryProvider(std::shared_ptr<State> state, Reference ref, Access access)
      : state_(std::move(state)), ref_(std::move(ref)), access_(std::move(access)) {}

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    Access access = access_;
    access.stop = std::move(stop);
    return open_blob(state_->exchange, ref_, blob, static_cast<std::uint64_t>(offset), access, Verify::kNo);
  }

 private:
  std::shared_ptr<State> state_;
  Reference ref_;
  Access access_;
};

std::string repository_of(const Endpoint& at, const Reference& ref) { return fmt::format("{}/{}", at.host, ref.path); }

}  // namespace

Registry::Registry(Transport& http, Options options) : state_(std::make_shared<State>(http, std::move(options))) {}
Registry::~Registry() = default;

Result<Resolved> Registry::resolve(const Reference& ref, const Access& access) {
  return registry::resolve(state_->exchange, ref, with_credentials(access));
}

Result<std::string> Registry::fetch_manifest(const Reference& ref, const content::Descriptor& descriptor,
                                             const Access& access) {
  return registry::fetch_manifest(state_->exchange, ref, descriptor, with_credentials(access));
}

Result<std::unique_ptr<ByteSource>> Registry::open_blob(const Reference& ref, const content::Descriptor& descriptor,
                                                        std::uint64_t offset, const Access& access, Verify verify) {
  return registry::open_blob(state_->exchange, ref, descriptor, offset, with_credentials(access), verify);
}

Result<std::optional<std::int64_t>> Registry::stat_blob(const Reference& ref, const Digest& digest,
                                                        const Access& access) {
  Access complete = with_credentials(access);
  KILN_ASSIGN_OR_RETURN(Endpoint at, state_->exchange.hosts().for_push(ref, complete.insecure));
  KILN_ASSIGN_OR_RETURN(auto size, registry::stat_blob(state_->exchange, at, ref, digest, pull_scope(ref), complete));
  if (!size) state_->pushes.forget(repository_of(at, ref), digest);
  return size;
}

Result<Pushed> Registry::push_blob(const Reference& ref, const content::Descriptor& descriptor, const BlobOpener& open,
                                   const std::vector<std::string>& mount_from, const Access& access,
                                   const Progress& progress, PushSeries* series) {
  PushSeries alone;
  return registry::push_blob(state_->exchange, ref, {descriptor, open, mount_from, progress, series ? *series : alone},
                             with_credentials(access));
}

Standing Registry::standing(const Reference& ref, const Access& access) {
  Result<Endpoint> at = state_->exchange.hosts().for_push(ref, access.insecure);
  if (!at.ok()) return {};
  const std::string repository = repository_of(*at, ref);
  if (!state_->pushes.knows(repository)) return {};
  Result<Digest> found = stat_manifest(state_->exchange, *at, ref, with_credentials(access));
  return found.ok() ? state_->pushes.find(repository, *found) : Standing();
}

void Registry::remember_push(const Reference& ref, const Access& access, Standing pushed) {
  Result<Endpoint> at = state_->exchange.hosts().for_push(ref, access.insecure);
  if (at.ok()) state_->pushes.remember(repository_of(*at, ref), std::move(pushed));
}

Status Registry::push_manifest(const Reference& ref, const content::Descriptor& descriptor, std::string_view bytes,
                               const Access& access) {
  Status pushed = registry::push_manifest(state_->exchange, ref, descriptor, bytes, with_credentials(access));
  if (get_detail(pushed, kMissingBlobsDetail)) {
    Result<Endpoint> at = state_->exchange.hosts().for_push(ref, access.insecure);
    if (at.ok()) state_->pushes.forget(repository_of(*at, ref));
  }
  return pushed;
}

std::shared_ptr<content::BlobProvider> Registry::provider(const Reference& ref, const Access& access) {
  return std::make_shared<RepositoryProvider<State>>(state_, ref, with_credentials(access));
}

}  // namespace kiln::registry
