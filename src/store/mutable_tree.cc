// Trees being written, and the kept ones that outlive their writer.
#include <fmt/format.h>

#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "store/internal/state.h"
#include "store/internal/touched_dirs.h"
#include "store/kept_digests.h"

namespace kiln::store {

namespace {

// Kept trees are found by an attribute of this name.
constexpr std::string_view kKeptAttribute = "kiln.kept";

}  // namespace

Result<MutableRef> Trees::make_mutable(TreeRef parent, TreeOptions options, std::stop_token stop) {
  TreesState& s = *state_;
  KILN_RETURN_IF_ERROR(s.settle_twin(parent));
  KILN_ASSIGN_OR_RETURN(snapshot::Chain chain, s.materialize(parent, stop));
  MutableRef made(new MutableTree);
  made->id_ = new_id();
  made->parent_ = std::move(parent);
  made->body_ = std::make_unique<MutableTree::Body>();
  made->body_->chain = std::move(chain);
  made->body_->created = options.created.value_or(s.clock->now());
  made->body_->options = std::move(options);
  made->body_->owner = state_;
  {
    std::lock_guard lock(s.mutex);
    s.writing[made->id_] = {false, made->body_->created, made->parent_ ? made->parent_->id() : "",
                            made->body_->options};
  }
  KILN_RETURN_IF_ERROR(s.snapshotter->prepare(made->id_, made->body_->chain, stop));
  return made;
}

Result<MutableRef> Trees::take(std::string_view index_key) {
  TreesState& s = *state_;
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> ids, s.records->find_by_index(index_key, true));
  for (const std::string& id : ids) {
    {
      std::lock_guard lock(s.mutex);
      if (!s.writing.emplace(id, TreesState::Writing{true, {}, "", {}}).second) continue;
    }
    auto give_back = [&] {
      std::lock_guard lock(s.mutex);
      s.writing.erase(id);
    };
    Result<MutableRef> taken = s.take_kept(id);
    if (!taken.ok() || !*taken) give_back();
    if (!taken.ok() || *taken) return taken;
  }
  return MutableRef();
}

Result<int> Trees::count_kept(std::string_view index_key) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> ids, state_->records->find_by_index(index_key, true));
  return static_cast<int>(ids.size());
}

Result<MutableRef> TreesState::take_kept(const std::string& id) {
  KILN_ASSIGN_OR_RETURN(std::optional<Record> record, records->load(id));
  if (!record) return MutableRef();
  KILN_ASSIGN_OR_RETURN(std::optional<std::string> frozen, records->child_of_twin(id));
  if (frozen) {
    KILN_ASSIGN_OR_RETURN(bool removed, remove_unheld(*frozen));
    if (!removed) return MutableRef();
  }
  TreeRef parent;
  if (!record->parents.empty()) {
    KILN_ASSIGN_OR_RETURN(parent, load_parent(record->parents.front()));
  }
  KILN_ASSIGN_OR_RETURN(snapshot::Chain chain, materialize(parent, {}));
  MutableRef taken(new MutableTree);
  taken->id_ = id;
  taken->parent_ = std::move(parent);
  taken->body_ = std::make_unique<MutableTree::Body>();
  taken->body_->owner = shared_from_this();
  taken->body_->chain = std::move(chain);
  taken->body_->kept = true;
  taken->body_->created = Time(Time::duration(record->created_ns));
  taken->body_->options = {record->description, record->type, taken->body_->created};
  {
    std::lock_guard lock(mutex);
    writing[id] = {true, taken->body_->created, record->parents.empty() ? "" : record->parents.front(),
                   taken->body_->options};
  }
  KILN_RETURN_IF_ERROR(records->set_snapshot_size(id, kUnknownSize));
  return taken;
}

MutableTree::~MutableTree() {
  if (!body_ || !body_->owner) return;
  TreesState& s = *body_->owner;
  if (!body_->spent && !body_->kept) {
    if (Status gone = s.snapshotter->remove(id_); !gone.ok()) {
      log_warn("remove the unfinished tree '{}': {}", id_, message_of(gone));
    }
  }
  if (body_->kept && !body_->spent) {
    (void)s.records->add_use(id_, s.now_ns());
    if (body_->digests) s.save_digests(id_, body_->digests);
  }
  std::lock_guard lock(s.mutex);
  s.writing.erase(id_);
}

Result<host::MountSpec> MutableTree::mount() { return body_->owner->snapshotter->mounts(body_->chain, id_); }

Result<host::MountSpec> MutableTree::mount_readonly() {
  KILN_ASSIGN_OR_RETURN(host::MountSpec spec, mount());
  if (!spec.readonly()) spec.options.push_back("ro");
  return spec;
}

Result<OpenTree> MutableTree::open() {
  OpenTree tree;
  tree.held = parent_;
  snapshot::Snapshotter& snapshotter = *body_->owner->snapshotter;
  if (snapshotter.direct(body_->chain)) {
    KILN_ASSIGN_OR_RETURN(tree.root, host::open_file(snapshotter.directory(id_), O_RDONLY | O_DIRECTORY));
  } else {
    KILN_ASSIGN_OR_RETURN(host::MountSpec spec, mount());
    KILN_ASSIGN_OR_RETURN(tree.root, host::open_mount(spec));
  }
  return tree;
}

Result<TreeRef> MutableTree::commit() { return commit(body_->options); }

Result<TreeRef> MutableTree::commit(TreeOptions options) {
  TreesState& s = *body_->owner;
  if (body_->kept || body_->spent) return engine_error(fmt::format("tree '{}' cannot be committed", id_));
  KILN_RETURN_IF_ERROR(s.snapshotter->commit(id_));
  if (s.snapshotter->material() == snapshot::Material::kDifference && !body_->chain.empty()) {
    std::vector<std::string> lowers;
    for (const auto& lower : body_->chain) lowers.push_back(s.snapshotter->directory(lower));
    KILN_RETURN_IF_ERROR(drop_touched_directories(s.snapshotter->directory(id_), lowers));
  }
  auto body = std::make_unique<Tree::Body>();
  body->snapshot = id_;
  if (body_->digests) s.keep_digests(id_, body_->digests);
  Record record;
  record.id = id_;
  record.created_ns = options.created.value_or(s.clock->now()).time_since_epoch().count();
  record.type = options.type;
  record.description = std::move(options.description);
  KILN_ASSIGN_OR_RETURN(TreeRef tree, s.add(std::move(record), parent_, {}, std::move(body)));
  body_->spent = true;
  return tree;
}

Result<TreeRef> MutableTree::freeze(TreeOptions options) {
  TreesState& s = *body_->owner;
  if (!body_->kept || body_->spent) return engine_error(fmt::format("tree '{}' is not a kept one", id_));
  auto body = std::make_unique<Tree::Body>();
  body->snapshot = id_;
  body->twin = id_;
  KILN_RETURN_IF_ERROR(s.records->add_use(id_, s.now_ns()));
  if (body_->digests) s.save_digests(id_, body_->digests);
  Record record;
  record.id = new_id();
  record.created_ns = options.created.value_or(s.clock->now()).time_since_epoch().count();
  record.type = options.type;
  record.description = std::move(options.description);
  KILN_ASSIGN_OR_RETURN(TreeRef tree, s.add(std::move(record), parent_, {}, std::move(body)));
  body_->spent = true;
  return tree;
}

Status MutableTree::keep(std::string_view index_key) {
  TreesState& s = *body_->owner;
  if (!body_->kept) {
    Record record;
    record.id = id_;
    record.is_mutable = true;
    if (parent_) record.parents = {parent_->id()};
    record.snapshot = id_;
    record.created_ns = body_->created.time_since_epoch().count();
    record.type = body_->options.type;
    record.description = body_->options.description;
    KILN_RETURN_IF_ERROR(s.records->insert(record));
    body_->kept = true;
    std::lock_guard lock(s.mutex);
    s.writing[id_].kept = true;
  }
  return s.records->set_attribute(id_, kKeptAttribute, "", index_key);
}

Status MutableTree::set_attribute(std::string_view key, std::string_view value, std::string_view index_key) {
  return body_->owner->records->set_attribute(id_, key, value, index_key);
}

std::optional<std::string> MutableTree::attribute(std::string_view key) {
  Result<std::optional<std::string>> value = body_->owner->records->attribute(id_, key);
  return value.ok() ? *value : std::nullopt;
}

void MutableTree::discard() {
  if (body_->spent) return;
  TreesState& s = *body_->owner;
  body_->spent = true;
  if (body_->kept) {
    (void)s.remove_record(id_);
  } else {
    (void)s.snapshotter->remove(id_);
  }
}

void MutableTree::seed_digest(std::string_view path, const FileFacts& facts, const Digest& digest) {
  if (!body_->digests) body_->digests = body_->owner->digest_index(id_);
  body_->digests->seed(path, facts, digest);
}

void MutableTree::forget_digest(std::string_view path) {
  if (!body_->digests) body_->digests = body_->owner->digest_index(id_);
  body_->digests->forget(path);
}

std::uint64_t TreesState::digests_instance(MutableTree& tree) {
  MutableTree::Body& b = *tree.body_;
  if (!b.digests) b.digests = b.owner->digest_index(tree.id_);
  return b.digests->instance();
}

std::uint64_t digests_instance(MutableTree& tree) { return TreesState::digests_instance(tree); }

}  // namespace kiln::store
