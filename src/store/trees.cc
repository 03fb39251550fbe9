#include "store/trees.h"

#include <fmt/format.h>

#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "content/reachable.h"
#include "snapshot/native.h"
#include "store/internal/state.h"

namespace kiln::store {

namespace {

constexpr std::string_view kTypeNames[] = {
    "regular", "internal", "frontend", "source.local", "source.git.checkout", "exec.cachemount"};

std::string id_of(const TreeRef& tree) { return tree ? tree->id() : std::string(); }

}  // namespace

Digest chain_id(const Digest& parent, const Digest& own) {
  return parent.empty() ? own : Digest::of(fmt::format("{} {}", parent.str(), own.str()));
}

std::string_view to_string(RecordType type) { return kTypeNames[static_cast<int>(type)]; }

RecordType parse_record_type(std::string_view text) {
  for (int i = 0; i < 6; ++i) {
    if (kTypeNames[i] == text) return static_cast<RecordType>(i);
  }
  return RecordType::kRegular;
}

bool made_of(const TreeRef& tree, std::string_view id) {
  for (const Tree* at = tree.get(); at != nullptr; at = at->parent().get()) {
    if (at->id() == id) return true;
    for (const TreeRef& input : at->inputs()) {
      if (made_of(input, id)) return true;
    }
  }
  return false;
}

std::string OpenTree::path() const { return host::fd_path(root.get()); }

// Without recursion: chains are deep. Whoever ends first on a thread lets go of all below.
Tree::~Tree() {
  if (owner_) owner_->let_go(*this);
  thread_local std::vector<TreeRef>* ending = nullptr;
  if (ending != nullptr) {
    ending->push_back(std::move(parent_));
    return;
  }
  std::vector<TreeRef> below;
  ending = &below;
  below.push_back(std::move(parent_));
  while (!below.empty()) {
    const TreeRef next = std::move(below.back());
    below.pop_back();
  }
  ending = nullptr;
}

TreesState::~TreesState() = default;

void TreesState::let_go(Tree& tree) {
  {
    std::lock_guard lock(mutex);
    auto at = live.find(tree.id());
    if (at != live.end() && at->second.expired()) live.erase(at);
  }
  if (tree.body_ && tree.body_->used && later) {
    later->submit([records = records.get(), id = tree.id(), when = now_ns()](db::Database&) {
      return records->add_use(id, when);
    });
  }
}

Result<TreeRef> TreesState::load_parent(const std::string& id) {
  if (id.empty()) return TreeRef();
  KILN_ASSIGN_OR_RETURN(std::optional<TreeRef> parent, load(id));
  if (!parent) return engine_error(fmt::format("record '{}' is named as a parent but does not exist", id));
  return *parent;
}

TreeRef TreesState::find_live(const std::string& id) {
  std::lock_guard lock(mutex);
  auto at = live.find(id);
  return at == live.end() ? nullptr : at->second.lock();
}

// From the bottom up, without recursion: chains are deep.
Result<std::optional<TreeRef>> TreesState::load(std::string_view id) {
  if (TreeRef tree = find_live(std::string(id))) return std::optional(std::move(tree));
  std::vector<Record> chain;
  TreeRef below;
  for (std::string at(id);;) {
    KILN_ASSIGN_OR_RETURN(std::optional<Record> record, records->load(at));
    if (!record || record->is_mutable) {
      if (chain.empty()) return std::optional<TreeRef>();
      return engine_error(fmt::format("record '{}' is named as a parent but does not exist", at));
    }
    chain.push_back(*std::move(record));
    if (chain.back().kind != TreeKind::kLayer || chain.back().parents.empty()) break;
    at = chain.back().parents.front();
    if (at.empty() || (below = find_live(at)) != nullptr) break;
  }
  std::optional<TreeRef> made;
  for (auto record = chain.rbegin(); record != chain.rend(); ++record) {
    KILN_ASSIGN_OR_RETURN(made, make_live(std::move(*record)));
    if (!made) return made;
    below = *made;
  }
  return made;
}

Result<std::optional<TreeRef>> TreesState::make_live(Record record) {
  std::shared_ptr<Tree> tree(new Tree);
  tree->id_ = record.id;
  tree->kind_ = record.kind;
  tree->description_ = record.description;
  tree->created_ = Time(Time::duration(record.created_ns));
  tree->type_ = record.type;
  std::vector<TreeRef> parents;
  for (const std::string& parent : record.parents) {
    KILN_ASSIGN_OR_RETURN(TreeRef loaded, load_parent(parent));
    parents.push_back(std::move(loaded));
  }
  if (record.kind == TreeKind::kLayer) {
    if (!parents.empty()) tree->parent_ = parents.front();
  } else {
    tree->inputs_ = std::move(parents);
  }
  tree->body_ = std::make_unique<Tree::Body>();
  tree->body_->snapshot = record.snapshot;
  tree->body_->twin = record.twin;
  tree->body_->diff_id = Digest::trusted(record.diff_id);
  tree->body_->chain_id = Digest::trusted(record.chain_id);
  tree->body_->blob_chain_id = Digest::trusted(record.blob_chain_id);
  KILN_ASSIGN_OR_RETURN(tree->body_->blobs, records->blobs_of(record.id));
  std::lock_guard lock(mutex);
  // It may have been pruned while we read it.
  KILN_ASSIGN_OR_RETURN(bool there, records->exists(record.id));
  if (!there) return std::optional<TreeRef>();
  std::weak_ptr<const Tree>& place = live[tree->id_];
  if (TreeRef other = place.lock()) return std::optional(std::move(other));  // somebody was faster
  tree->owner_ = shared_from_this();
  place = tree;
  return std::optional<TreeRef>(std::move(tree));
}

Result<TreeRef> TreesState::add(Record record, TreeRef parent, std::vector<TreeRef> inputs,
                                std::unique_ptr<Tree::Body> body) {
  std::shared_ptr<Tree> tree(new Tree);
  tree->id_ = record.id;
  tree->kind_ = record.kind;
  tree->description_ = record.description;
  tree->created_ = Time(Time::duration(record.created_ns));
  tree->type_ = record.type;
  if (parent) record.parents = {parent->id()};
  for (const TreeRef& input : inputs) record.parents.push_back(id_of(input));
  tree->parent_ = std::move(parent);
  tree->inputs_ = std::move(inputs);
  body->used = true;
  record.snapshot = body->snapshot;
  record.twin = body->twin;
  record.diff_id = body->diff_id.str();
  record.chain_id = body->chain_id.str();
  record.blob_chain_id = body->blob_chain_id.str();
  Status stored = records->database().write([&](db::Database&) -> Status {
    KILN_RETURN_IF_ERROR(records->insert(record));
    for (const BlobVariant& variant : body->blobs) KILN_RETURN_IF_ERROR(records->put_blob(record.id, variant));
    return ok();
  });
  if (!stored.ok()) return stored;
  tree->body_ = std::move(body);
  tree->owner_ = shared_from_this();
  std::lock_guard lock(mutex);
  live[tree->id_] = tree;
  return TreeRef(std::move(tree));
}

Status TreesState::settle_twin(const TreeRef& tree) {
  if (!tree) return ok();
  Tree::Body& b = body(tree);
  std::string twin;
  {
    std::lock_guard lock(b.mutex);
    if (b.twin.empty()) return ok();
    twin = std::exchange(b.twin, {});
  }
  KILN_RETURN_IF_ERROR(records->forget_twin(tree->id()));
  return records->remove(twin).status();  // the directory stays: the frozen tree names it
}

namespace {

// Whether the provider, if any, may still give what it promised.
bool can_fetch(content::BlobProvider* provider) {
  if (provider == nullptr) return false;
  auto* far = dynamic_cast<content::Reachable*>(provider);
  return far == nullptr || far->reachable();
}

}  // namespace

bool TreesState::within_reach(const TreeRef& tree) {
  for (const Tree* at = tree.get(); at;) {
    Tree::Body& b = *at->body_;
    if (at->kind_ != TreeKind::kLayer) {
      for (const TreeRef& input : at->inputs_) {
        if (!within_reach(input)) return false;
      }
      return true;
    }
    {
      std::lock_guard lock(b.mutex);
      bool local = std::any_of(b.blobs.begin(), b.blobs.end(), [](const BlobVariant& v) { return v.local; });
      if (b.snapshot.empty() && !local && !can_fetch(b.provider.get())) return false;
    }
    at = at->parent_.get();
  }
  return true;
}

Result<std::unique_ptr<Trees>> Trees::open(TreesOptions options) {
  KILN_RETURN_IF_ERROR(host::make_dirs(options.root, 0700));
  KILN_RETURN_IF_ERROR(host::make_dir(options.root + "/digests", 0700));
  auto state = std::make_shared<TreesState>();
  state->clock = options.clock ? options.clock : &system_clock();
  KILN_ASSIGN_OR_RETURN(state->snapshotter,
                        snapshot::open_snapshotter(options.snapshotter, options.root + "/snapshots"));
  KILN_ASSIGN_OR_RETURN(state->records, Records::open(options.root + "/trees.db"));
  KILN_RETURN_IF_ERROR(state->records->forget_owners());
  state->opened = system_clock().now() - std::chrono::milliseconds(50);
  state->later = std::make_unique<db::GroupedWriter>(state->records->database());
  state->options = std::move(options);
  state->in_background([raw = state.get()] { raw->sweep(); });
  return std::unique_ptr<Trees>(new Trees(std::move(state)));
}

Trees::Trees(std::shared_ptr<TreesState> state) : state_(std::move(state)) {}

Trees::~Trees() {
  state_->closing.request_stop();
  settle();
  (void)state_->later->flush();
}

void Trees::settle() {
  std::unique_lock lock(state_->mutex);
  state_->swept.wait(lock, [&] { return state_->background == 0; });
}

Result<std::optional<TreeRef>> Trees::find(std::string_view id) {
  if (id.empty()) return std::optional<TreeRef>();
  KILN_ASSIGN_OR_RETURN(std::optional<TreeRef> tree, state_->load(id));
  if (!tree || !TreesState::within_reach(*tree)) return std::optional<TreeRef>();
  TreesState::body(*tree).used = true;
  return tree;
}

Result<std::vector<std::string>> Trees::find_by_index(std::string_view index_key) {
  return state_->records->find_by_index(index_key, false);
}

Result<TreeRef> Trees::from_blob(TreeRef parent, LayerSource layer, TreeOptions options) {
  TreesState& s = *state_;
  KILN_RETURN_IF_ERROR(s.settle_twin(parent));
  auto body = std::make_unique<Tree::Body>();
  body->diff_id = layer.diff_id;
  Digest parent_chain, parent_blob_chain;
  if (parent) {
    std::lock_guard lock(TreesState::body(parent).mutex);
    parent_chain = TreesState::body(parent).chain_id;
    parent_blob_chain = TreesState::body(parent).blob_chain_id;
    if (parent_chain.empty()) return engine_error("an image layer was put on a tree that is no image");
  }
  body->chain_id = chain_id(parent_chain, layer.diff_id);
  body->blob_chain_id = chain_id(parent_blob_chain, chain_id(layer.blob.digest, layer.diff_id));
  std::lock_guard making(s.from_blob_mutex);
  KILN_ASSIGN_OR_RETURN(auto held, s.options.blobs->info(layer.blob.digest));
  if (!held && !layer.provider) {
    return engine_error(fmt::format("layer {} is not here and nobody can fetch it", layer.blob.digest.str()));
  }
  KILN_ASSIGN_OR_RETURN(auto same, s.records->find_by_blob_chain(body->blob_chain_id));
  for (const std::string& id : same) {
    KILN_ASSIGN_OR_RETURN(std::optional<TreeRef> tree, s.load(id));
    if (!tree) continue;
    Tree::Body& known = TreesState::body(*tree);
    std::lock_guard lock(known.mutex);
    if (layer.provider) known.provider = layer.provider;
    if (layer.reporter) known.reporter = layer.reporter;
    known.used = true;
    return *tree;
  }
  // Held until its directory has a second name, or a prune could take it meanwhile.
  std::optional<TreeRef> equal;
  KILN_ASSIGN_OR_RETURN(auto equals, s.records->find_by_chain(body->chain_id));
  if (!equals.empty()) {
    KILN_ASSIGN_OR_RETURN(equal, s.load(equals.front()));
    if (equal) {
      Tree::Body& known = TreesState::body(*equal);
      std::lock_guard lock(known.mutex);
      if (known.twin.empty()) body->snapshot = known.snapshot;
    }
  }
  layer.blob.annotations.erase(std::string(content::kUncompressedAnnotation));
  body->blobs.push_back({std::move(layer.blob), layer.diff_id, "", held.has_value()});
  body->provider = std::move(layer.provider);
  body->reporter = std::move(layer.reporter);
  Record record;
  record.id = new_id();
  record.created_ns = options.created ? options.created->time_since_epoch().count() : s.now_ns();
  record.type = options.type;
  record.description = std::move(options.description);
  return s.add(std::move(record), std::move(parent), {}, std::move(body));
}

Result<TreeRef> Trees::merge(std::vector<TreeRef> inputs, TreeOptions options, std::stop_token stop) {
  std::vector<TreeRef> flat;
  for (TreeRef& input : inputs) {
    if (!input) continue;
    if (input->kind() == TreeKind::kMerge) {
      flat.insert(flat.end(), input->inputs().begin(), input->inputs().end());
    } else {
      flat.push_back(std::move(input));
    }
  }
  if (flat.empty()) return TreeRef();
  if (flat.size() == 1) return flat.front();
  for (const TreeRef& input : flat) KILN_RETURN_IF_ERROR(state_->settle_twin(input));
  std::vector<TreeRef> below;
  bool fits = true;
  std::vector<TreeRef> units;
  for (const TreeRef& input : flat) {
    for (TreeRef& unit : TreesState::units_of(input)) units.push_back(std::move(unit));
  }
  for (const TreeRef& unit : units) {
    KILN_ASSIGN_OR_RETURN(const bool good, state_->may_lie_on(unit, below, stop));
    fits = fits && good;
    below.push_back(unit);
  }
  if (!fits) {
    for (TreeRef& unit : units) {
      KILN_ASSIGN_OR_RETURN(unit, state_->loose(unit, stop));
    }
    flat = std::move(units);
  }
  return state_->add_list(TreeKind::kMerge, std::move(flat), std::move(options));
}

Result<TreeRef> Trees::diff(TreeRef lower, TreeRef upper, TreeOptions options, std::stop_token stop) {
  if (!lower) return upper;
  if (lower == upper) return TreeRef();
  KILN_RETURN_IF_ERROR(state_->settle_twin(lower));
  KILN_RETURN_IF_ERROR(state_->settle_twin(upper));
  if (std::optional<std::vector<TreeRef>> between = TreesState::units_above(lower, upper)) {
    bool fits = true;
    for (std::size_t i = 0; i < between->size(); ++i) {
      KILN_ASSIGN_OR_RETURN(const bool good, state_->may_lie_on((*between)[i], {}, stop));
      fits = fits && good;
    }
    if (!fits) {
      for (TreeRef& unit : *between) {
        KILN_ASSIGN_OR_RETURN(unit, state_->loose(unit, stop));
      }
      return between->size() == 1 ? between->front() : merge(*std::move(between), std::move(options), stop);
    }
  }
  return state_->add_list(TreeKind::kDiff, {std::move(lower), std::move(upper)}, std::move(options));
}

Status Trees::set_attribute(const TreeRef& tree, std::string_view key, std::string_view value,
                            std::string_view index_key) {
  return state_->records->set_attribute(tree->id(), key, value, index_key);
}

Result<std::optional<std::string>> Trees::attribute(std::string_view id, std::string_view key) {
  return state_->records->attribute(id, key);
}

Status Trees::hold_blob(const TreeRef& tree, const Digest& blob) {
  std::lock_guard making(state_->from_blob_mutex);
  KILN_ASSIGN_OR_RETURN(auto info, state_->options.blobs->info(blob));
  if (!info) return engine_error(fmt::format("blob {} is to be held but not here", blob.str()));
  return state_->records->hold_blob(tree->id(), blob, info->size);
}

Status Trees::hold_blob(std::string_view owner, const Digest& blob) {
  return state_->records->hold_for_owner(owner, blob);
}

Status Trees::release_blobs(std::string_view owner) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> unnamed, state_->records->release_owner(owner));
  state_->drop_blobs(unnamed);
  return ok();
}

std::uint64_t Trees::layer_bytes_max() const { return state_->options.layer_bytes_max; }

std::string_view Trees::snapshotter_name() const { return state_->snapshotter->name(); }

}  // namespace kiln::store
