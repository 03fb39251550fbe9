#include "source/local.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "host/fs.h"
#include "store/kept_digests.h"

namespace kiln::source {
namespace {

// Clients find the bytes they gave under this name of a status.
class TransferReporter final : public event::Reporter {
 public:
  explicit TransferReporter(event::Reporter& to) : to_(to) {}
  void log(event::LogStream stream, std::string_view data) override { to_.log(stream, data); }
  void status(event::VertexStatus status) override {
    status.name = "transferring";
    to_.status(std::move(status));
  }
  void warn(event::VertexWarning warning) override { to_.warn(std::move(warning)); }

 private:
  event::Reporter& to_;
};

constexpr std::size_t kRecentMax = 2;
constexpr std::string_view kIndexSuffix = ".index";

store::FileFacts facts_of(const session::FileStat& stat) {
  store::FileFacts facts;
  facts.mode = session::posix_mode(stat.mode);
  facts.uid = stat.uid;
  facts.gid = stat.gid;
  if (stat.is_file()) facts.size = stat.size;
  if (stat.is_symlink()) facts.link = stat.link;
  facts.dev_major = stat.device_major;
  facts.dev_minor = stat.device_minor;
  facts.xattrs = stat.xattrs;
  return facts;
}

class FactsHasher final : public session::ContentHasher {
 public:
  explicit FactsHasher(const session::FileStat& stat) : digester_(facts_of(stat)) {}
  void update(std::string_view bytes) override { digester_.update(bytes); }
  Digest finish() override { return digester_.finish(); }

 private:
  store::FileDigester digester_;
};

void seed_entry(store::MutableTree& tree, const session::TreeIndex& index, std::size_t entry) {
  session::FileStat stat = index.stat(entry);
  store::FileFacts facts = facts_of(stat);
  Digest digest = index.digest(entry);
  tree.seed_digest(stat.path, facts, digest.empty() ? store::FileDigester(facts).finish() : digest);
}

// What changed, when the tree's digests of before are known; else every entry, since a tree's digests
// count as complete once one was told.
void seed_digests(store::MutableTree& tree, const session::TreeIndex& index, const session::TreeChange* change) {
  if (change) {
    for (const std::string& path : change->removed) tree.forget_digest(path);
    for (std::size_t entry : change->written) seed_entry(tree, index, entry);
    return;
  }
  tree.forget_digest("");
  for (std::size_t entry = 0; entry < index.size(); ++entry) seed_entry(tree, index, entry);
}

// Names this run of the machine.
const std::string& boot_id() {
  static const std::string id = [] {
    Result<std::string> text = host::read_file("/proc/sys/kernel/random/boot_id", 100);
    return text.ok() ? std::string(trim(*text)) : "unknown";
  }();
  return id;
}

std::string index_path(const std::string& dir, const std::string& tree_id) {
  return fmt::format("{}/{}.{}{}", dir, tree_id, boot_id(), kIndexSuffix);
}

class LocalFetch final : public Fetch {
 public:
  LocalFetch(std::shared_ptr<LocalSource> source, LocalWish wish)
      : source_(std::move(source)), wish_(std::move(wish)) {}

  Result<Key> key(int, const Asker& asker) override {
    std::string session = wish_.session_id;
    if (session.empty()) session = session::file_asker(asker.sessions)->first_session();
    if (session.empty()) {
      return user_error(Code::kFailedPrecondition, "could not access local files without session");
    }
    return local_key(wish_, session);
  }

  Result<store::TreeRef> tree(const Asker& asker) override {
    if (!tree_) {
      KILN_ASSIGN_OR_RETURN(tree_, source_->sync(wish_, asker));
    }
    return *tree_;
  }

 private:
  std::shared_ptr<LocalSource> source_;
  LocalWish wish_;
  std::optional<store::TreeRef> tree_;
};

}  // namespace

LocalSource::LocalSource(LocalSourceOptions options) : options_(std::move(options)) {
  if (Status made = host::make_dirs(options_.dir, 0700); !made.ok()) log_warn("{}", message_of(made));
  Result<std::vector<std::string>> files = host::list_dir(options_.dir);
  if (!files.ok()) return;
  std::string good = "." + boot_id() + std::string(kIndexSuffix);
  for (const std::string& file : *files) {
    if (!std::string_view(file).ends_with(good)) (void)host::remove_all(options_.dir + "/" + file);
  }
}

LocalSource::~LocalSource() = default;

Result<std::unique_ptr<Fetch>> LocalSource::open(const graph::SourceOp& op, const std::optional<Platform>&) {
  KILN_ASSIGN_OR_RETURN(LocalWish wish, read_local_wish(op));
  return std::unique_ptr<Fetch>(std::make_unique<LocalFetch>(shared_from_this(), std::move(wish)));
}

std::string LocalSource::index_file(const std::string& tree_id) const { return index_path(options_.dir, tree_id); }

void LocalSource::remember(const std::string& tree_id, const Kept& kept) {
  std::lock_guard lock(mutex_);
  std::erase_if(recent_, [&](const auto& entry) { return entry.first == tree_id; });
  recent_.emplace(recent_.begin(), tree_id, kept);
  if (recent_.size() > kRecentMax) recent_.pop_back();
}

void LocalSource::forget(const std::string& tree_id) {
  std::lock_guard lock(mutex_);
  std::erase_if(recent_, [&](const auto& entry) { return entry.first == tree_id; });
}

std::optional<LocalSource::Kept> LocalSource::recall(const std::string& tree_id) {
  std::lock_guard lock(mutex_);
  for (const auto& [id, kept] : recent_) {
    if (id == tree_id) return kept;
  }
  return std::nullopt;
}

void forget_local_index(const std::string& dir, const std::string& tree_id) {
  unlink(index_path(dir, tree_id).c_str());
}

Result<store::MutableRef> LocalSource::take(const std::string& index_key, const std::string& description, Kept& kept) {
  while (true) {
    KILN_ASSIGN_OR_RETURN(store::MutableRef tree, options_.trees->take(index_key));
    if (!tree) break;
    kept = recall(tree->id()).value_or(Kept());
    std::string file = index_file(tree->id());
    if (!kept.index && host::exists(file)) {
      kept.index = std::make_shared<session::TreeIndex>(session::TreeIndex::load(file));
      if (kept.index->empty()) kept.index.reset();
    }
    if (kept.index) return tree;
    tree->discard();
  }
  kept.index = std::make_shared<session::TreeIndex>();
  store::TreeOptions options{description, store::RecordType::kLocalSource, {}};
  KILN_ASSIGN_OR_RETURN(store::MutableRef tree, options_.trees->make_mutable(nullptr, options));
  KILN_RETURN_IF_ERROR(tree->keep(index_key));
  return tree;
}

Result<store::TreeRef> LocalSource::sync(const LocalWish& wish, const Asker& asker) {
  store::TreeRef out;
  KILN_RETURN_IF_ERROR(session::file_asker(asker.sessions)
                           ->with_client(
                               wish.session_id,
                               [&](session::FileGiver& client) -> Status {
                                 KILN_ASSIGN_OR_RETURN(out, sync_from(wish, client, asker));
                                 return ok();
                               },
                               asker.stop));
  return out;
}

Result<store::TreeRef> LocalSource::sync_from(const LocalWish& wish, session::FileGiver& client, const Asker& asker) {
  const session::FileRequest& request = wish.request;
  std::string index_key = fmt::format("local.sharedKey:{}:{}:{}{}", request.name, wish.shared_key_hint,
                                      client.shared_key(), request.metadata_only ? ":metadata" : "");
  std::string description = fmt::format("local source for {}", request.name);
  Kept kept;
  KILN_ASSIGN_OR_RETURN(store::MutableRef tree, take(index_key, description, kept));
  const std::string id = tree->id();
  TransferReporter transfers(asker.reporter);
  event::Phase phase(transfers, fmt::format("transferring {}:", request.name));

  bool touched = false;
  auto run = [&]() -> Result<store::TreeRef> {
    KILN_ASSIGN_OR_RETURN(store::OpenTree opened, tree->open());
    session::SyncTarget target;
    target.dir = opened.path();
    target.index = kept.index.get();
    target.hasher = [](const session::FileStat& stat) { return std::make_unique<FactsHasher>(stat); };
    target.before_change = [&] {
      touched = true;
      unlink(index_file(id).c_str());
    };
    target.progress = [&](std::int64_t bytes) { phase.advance_to(bytes); };
    KILN_ASSIGN_OR_RETURN(session::SyncOutcome outcome, client.sync(request, target, asker.stop));
    log_debug("local {}: {} bytes, {} files written", request.name, outcome.bytes, outcome.files_written);
    bool known = kept.digests_instance != 0 && kept.digests_instance == store::digests_instance(*tree);
    if (outcome.changed || !known) {
      seed_digests(*tree, *kept.index, known && outcome.change ? &*outcome.change : nullptr);
      kept.digests_instance = store::digests_instance(*tree);
    }
    opened = {};
    KILN_ASSIGN_OR_RETURN(store::TreeRef shown, tree->freeze({description, store::RecordType::kLocalSource, {}}));
    // Only now, while the shown tree keeps others from taking it: a crash before leaves no index,
    // and so no doubt about what lies there.
    if (outcome.changed) KILN_RETURN_IF_ERROR(kept.index->save(index_file(id)));
    remember(id, kept);
    return shown;
  };
  Result<store::TreeRef> shown = run();
  bool empty = kept.index->empty();
  if (!shown.ok() && (touched || empty)) {
    forget(id);
    forget_local_index(options_.dir, id);
    tree->discard();
  }
  return shown;
}

}  // namespace kiln::source
