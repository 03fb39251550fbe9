// From record to directory: what a tree is made of, unpacking layers that were only blobs, computing
// differences, and mounting.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/id.h"
#include "host/fs.h"
#include "layer/apply.h"
#include "snapshot/difference.h"
#include "store/internal/draft.h"
#include "store/internal/state.h"
#include "store/internal/transfer.h"

namespace kiln::store {

Result<BusyBody> BusyBody::take(const TreeRef& tree, std::stop_token stop) {
  Tree::Body& b = TreesState::body(tree);
  std::unique_lock lock(b.mutex);
  if (!b.changed.wait(lock, stop, [&] { return !b.busy; })) return cancelled();
  b.busy = true;
  return BusyBody(tree);
}

BusyBody::~BusyBody() {
  if (!tree_) return;
  Tree::Body& b = TreesState::body(tree_);
  std::lock_guard lock(b.mutex);
  b.busy = false;
  b.changed.notify_all();
}

namespace {

void append_units(const TreeRef& tree, std::vector<TreeRef>& units);

// The units above the common beginning, when `lower` is the beginning of `upper`.
std::optional<std::vector<TreeRef>> units_between(const TreeRef& lower, const TreeRef& upper) {
  std::vector<TreeRef> below, above;
  append_units(lower, below);
  append_units(upper, above);
  if (above.size() < below.size() || !std::equal(below.begin(), below.end(), above.begin())) return std::nullopt;
  return std::vector<TreeRef>(above.begin() + static_cast<std::ptrdiff_t>(below.size()), above.end());
}

void append_units(const TreeRef& tree, std::vector<TreeRef>& units) {
  if (!tree) return;
  switch (tree->kind()) {
    case TreeKind::kLayer: {
      std::vector<TreeRef> run;  // without recursion: chains are deep
      TreeRef at = tree;
      for (; at && at->kind() == TreeKind::kLayer; at = at->parent()) run.push_back(at);
      append_units(at, units);
      units.insert(units.end(), std::make_move_iterator(run.rbegin()), std::make_move_iterator(run.rend()));
      return;
    }
    case TreeKind::kMerge:
      for (const TreeRef& input : tree->inputs()) append_units(input, units);
      return;
    case TreeKind::kLoose: units.push_back(tree); return;
    case TreeKind::kDiff:
      if (auto between = units_between(tree->inputs()[0], tree->inputs()[1])) {
        units.insert(units.end(), between->begin(), between->end());
      } else {
        units.push_back(tree);
      }
  }
}

// Whether the lowest unit may take away what is below it, so that it cannot be shown bare.
bool bottom_takes_away(const std::vector<TreeRef>& units) {
  return !units.empty() && (units.front()->kind() != TreeKind::kLayer || units.front()->parent() != nullptr);
}

}  // namespace

bool TreesState::is_written(const TreeRef& tree) {
  Tree::Body& b = body(tree);
  std::lock_guard lock(b.mutex);
  return !b.snapshot.empty();
}

std::optional<std::vector<TreeRef>> TreesState::units_above(const TreeRef& lower, const TreeRef& upper) {
  return units_between(lower, upper);
}

std::vector<TreeRef> TreesState::units_of(const TreeRef& tree) {
  std::vector<TreeRef> units;
  append_units(tree, units);
  std::unordered_set<const Tree*> seen;
  std::vector<TreeRef> once;
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    if (seen.insert(unit->get()).second) once.push_back(std::move(*unit));
  }
  std::reverse(once.begin(), once.end());
  return once;
}

std::optional<snapshot::Chain> TreesState::written_chain(const TreeRef& tree) {
  snapshot::Chain chain;
  for (const Tree* at = tree.get(); at != nullptr; at = at->parent().get()) {
    std::lock_guard lock(at->body_->mutex);
    if (at->kind() != TreeKind::kLayer || at->body_->snapshot.empty()) return std::nullopt;
    chain.push_back(at->body_->snapshot);
  }
  const std::unordered_set<std::string_view> different(chain.begin(), chain.end());
  if (different.size() != chain.size()) return std::nullopt;
  std::reverse(chain.begin(), chain.end());
  return chain;
}

Result<snapshot::Chain> TreesState::materialize(const TreeRef& tree, std::stop_token stop) {
  snapshot::Chain chain;
  if (!tree) return chain;
  if (snapshotter->material() == snapshot::Material::kWholeTree) {
    KILN_RETURN_IF_ERROR(ensure_snapshot(tree, stop));
    std::lock_guard lock(body(tree).mutex);
    return snapshot::Chain{body(tree).snapshot};
  }
  if (std::optional<snapshot::Chain> written = written_chain(tree)) return *std::move(written);
  std::vector<TreeRef> units = units_of(tree);
  std::vector<std::function<Status(std::stop_token)>> jobs;
  for (const TreeRef& unit : units) {
    std::lock_guard lock(body(unit).mutex);
    if (body(unit).snapshot.empty()) {
      jobs.push_back([this, unit](std::stop_token inner) { return ensure_snapshot(unit, inner); });
    }
  }
  KILN_RETURN_IF_ERROR(run_together(options.pool, std::move(jobs), stop));
  if (units.size() == 1 && bottom_takes_away(units)) chain.push_back("");
  std::unordered_set<std::string> seen;
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    std::lock_guard lock(body(*unit).mutex);
    const std::string& id = body(*unit).snapshot;
    if (seen.insert(id).second) chain.push_back(id);
  }
  std::reverse(chain.begin() + (!chain.empty() && chain.front().empty() ? 1 : 0), chain.end());
  return chain;
}

Result<OpenTree> TreesState::open_chain(const snapshot::Chain& chain, TreeRef held) {
  OpenTree tree;
  tree.held = std::move(held);
  KILN_ASSIGN_OR_RETURN(host::MountSpec spec, snapshotter->mounts(chain));
  if (spec.type == "bind") {
    KILN_ASSIGN_OR_RETURN(tree.root, host::open_file(spec.source, O_RDONLY | O_DIRECTORY));
  } else {
    KILN_ASSIGN_OR_RETURN(tree.root, host::open_mount(spec));
    // As a directory that can be listed; the mount lives as long as anything in it is open.
    KILN_ASSIGN_OR_RETURN(tree.root, host::open_at(tree.root.get(), ".", O_RDONLY | O_DIRECTORY));
  }
  return tree;
}

Result<OpenTree> TreesState::open(const TreeRef& tree, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(snapshot::Chain chain, materialize(tree, stop));
  return open_chain(chain, tree);
}

Status TreesState::publish_snapshot(const TreeRef& unit, const std::string& id) {
  KILN_RETURN_IF_ERROR(snapshotter->commit(id));
  KILN_RETURN_IF_ERROR(records->set_snapshot(unit->id(), id));
  std::lock_guard lock(body(unit).mutex);
  body(unit).snapshot = id;
  return ok();
}

Status TreesState::ensure_snapshot(const TreeRef& unit, std::stop_token stop) {
  Tree::Body& b = body(unit);
  auto present = [&] {
    std::lock_guard lock(b.mutex);
    return !b.snapshot.empty();
  };
  if (present()) return ok();
  snapshot::Chain below;  // where only differences are kept, unpacking does not look below
  if (snapshotter->material() == snapshot::Material::kWholeTree && unit->kind() == TreeKind::kLayer) {
    KILN_ASSIGN_OR_RETURN(below, materialize(unit->parent(), stop));
  }
  KILN_ASSIGN_OR_RETURN(BusyBody busy, BusyBody::take(unit, stop));
  if (present()) return ok();
  Status made = unit->kind() == TreeKind::kLayer   ? lost(unit, unpack(unit, below, stop))
                : unit->kind() == TreeKind::kMerge ? compute_merge(unit, stop)
                                                   : compute_difference(unit, stop);
  if (made.ok() || is_cancelled(made)) return made;
  return annotate(made, fmt::format("prepare '{}'", unit->description().empty() ? unit->id() : unit->description()));
}

Status TreesState::unpack(const TreeRef& unit, const snapshot::Chain& below, std::stop_token stop) {
  Tree::Body& b = body(unit);
  BlobVariant blob;
  std::shared_ptr<content::BlobProvider> provider;
  std::shared_ptr<event::Reporter> reporter;
  {
    std::lock_guard lock(b.mutex);
    if (b.blobs.empty()) return engine_error(fmt::format("record '{}' has neither files nor a blob", unit->id()));
    auto local = std::find_if(b.blobs.begin(), b.blobs.end(), [](const BlobVariant& v) { return v.local; });
    blob = local != b.blobs.end() ? *local : b.blobs.front();
    provider = b.provider;
    reporter = b.reporter;
  }
  event::Reporter& told = reporter ? *reporter : event::null_reporter();
  Draft draft(*this);
  KILN_RETURN_IF_ERROR(snapshotter->prepare(draft.id(), below, stop));
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<LayerStream> stream,
                        LayerStream::open(*options.blobs, provider.get(), blob, told, stop));
  layer::ApplyOptions apply;
  apply.bytes_max = options.layer_bytes_max;
  // On nothing there is nothing to take away: whiteouts of a bottom layer vanish.
  apply.target = !unit->parent() || snapshotter->material() == snapshot::Material::kWholeTree
                     ? layer::ApplyTarget::kPlainTree
                     : layer::ApplyTarget::kOverlayUpper;
  Result<layer::ApplyReport> applied =
      layer::apply_layer(stream->plain(), snapshotter->directory(draft.id()), apply, stop);
  if (!applied.ok()) return stream->explain(applied.status());
  KILN_RETURN_IF_ERROR(stream->finish());
  if (!blob.local) {
    std::lock_guard lock(b.mutex);
    for (BlobVariant& v : b.blobs) {
      if (v.blob.digest == blob.blob.digest) v.local = true;
    }
    blob.local = true;
    KILN_RETURN_IF_ERROR(records->put_blob(unit->id(), blob));
  }
  return draft.publish(unit);
}

Status TreesState::compute_difference(const TreeRef& diff, std::stop_token stop) {
  const TreeRef &lower = diff->inputs()[0], &upper = diff->inputs()[1];
  KILN_ASSIGN_OR_RETURN(OpenTree below, open(lower, stop));
  KILN_ASSIGN_OR_RETURN(OpenTree above, open(upper, stop));
  Draft draft(*this);
  KILN_RETURN_IF_ERROR(snapshotter->prepare(draft.id(), {}, stop));
  std::string directory = snapshotter->directory(draft.id());
  KILN_RETURN_IF_ERROR(snapshot::write_difference(below.path(), above.path(), directory, stop));
  if (snapshotter->material() == snapshot::Material::kWholeTree) {
    KILN_RETURN_IF_ERROR(snapshot::strip_difference(directory, stop));
  }
  return draft.publish(diff);
}

// Only for snapshotters that keep whole trees: the inputs' differences are laid one over the other.
Status TreesState::compute_merge(const TreeRef& merge, std::stop_token stop) {
  Draft draft(*this);
  KILN_RETURN_IF_ERROR(snapshotter->prepare(draft.id(), {}, stop));
  std::string target = snapshotter->directory(draft.id());
  for (const TreeRef& unit : units_of(merge)) {
    TreeRef lower = unit->kind() == TreeKind::kLayer ? unit->parent() : unit->inputs()[0];
    TreeRef upper = unit->kind() == TreeKind::kLayer ? unit : unit->inputs()[1];
    KILN_ASSIGN_OR_RETURN(OpenTree below, open(lower, stop));
    KILN_ASSIGN_OR_RETURN(OpenTree above, open(upper, stop));
    KILN_ASSIGN_OR_RETURN(host::TempDir change, host::TempDir::make("merge-", options.root));
    KILN_RETURN_IF_ERROR(snapshot::write_difference(below.path(), above.path(), change.path(), stop));
    KILN_RETURN_IF_ERROR(snapshot::apply_difference(change.path(), target, stop));
  }
  return draft.publish(merge);
}

Result<host::MountSpec> Trees::mount(const TreeRef& tree, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(snapshot::Chain chain, state_->materialize(tree, stop));
  return state_->snapshotter->mounts(chain);
}

Result<OpenTree> Trees::open(const TreeRef& tree, std::stop_token stop) { return state_->open(tree, stop); }

Status Trees::fetch(const TreeRef& tree, std::stop_token stop) {
  KILN_RETURN_IF_ERROR(state_->materialize(tree, stop).status());
  std::vector<std::function<Status(std::stop_token)>> jobs;
  for (const TreeRef& unit : TreesState::units_of(tree)) {
    jobs.push_back([this, unit](std::stop_token inner) { return state_->fetch_blob(unit, inner); });
  }
  return run_together(state_->options.pool, std::move(jobs), stop);
}

}  // namespace kiln::store
