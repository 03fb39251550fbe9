// Layers in places that they were not made for. A snapshot is what the kernel left in a layer's upper
// directory: right on the tree it was made on, but with marks that would hide or undo what other trees
// brought. Such a layer gets a second form, a difference of its parent and itself that is written at
// once; the layer remembers it.
#include "snapshot/difference.h"
#include "store/internal/draft.h"
#include "store/internal/state.h"

namespace kiln::store {
namespace {

constexpr const char* kLooseForm = "loose-form";  // attribute: id of the difference, or kAsItIs
constexpr const char* kAsItIs = "as-it-is";

}  // namespace

Result<TreeRef> TreesState::add_list(TreeKind kind, std::vector<TreeRef> inputs, TreeOptions options) {
  Record record;
  record.id = new_id();
  record.kind = kind;
  record.created_ns = options.created ? options.created->time_since_epoch().count() : now_ns();
  record.type = options.type;
  record.description = std::move(options.description);
  return add(std::move(record), nullptr, std::move(inputs), std::make_unique<Tree::Body>());
}

Result<bool> TreesState::may_lie_on(const TreeRef& unit, const std::vector<TreeRef>& below, std::stop_token stop) {
  if (unit->kind() != TreeKind::kLayer || !unit->parent()) return true;
  if (units_of(unit->parent()) == below) return true;
  KILN_ASSIGN_OR_RETURN(std::optional<TreeRef> form, rewritten(unit, stop));
  return !form.has_value();
}

Result<TreeRef> TreesState::loose(const TreeRef& unit, std::stop_token stop) {
  if (unit->kind() != TreeKind::kLayer || !unit->parent()) return unit;
  KILN_ASSIGN_OR_RETURN(std::optional<TreeRef> form, rewritten(unit, stop));
  if (form) return *form;
  return add_list(TreeKind::kDiff, {unit->parent(), unit},
                  {.description = unit->description(), .type = unit->type(), .created = unit->created()});
}

// The unit's second form, made when it is first asked for; nothing when the unit does no harm anywhere,
// or cannot be looked at without fetching it (layers of images are taken as they are).
Result<std::optional<TreeRef>> TreesState::rewritten(const TreeRef& unit, std::stop_token stop) {
  if (snapshotter->material() == snapshot::Material::kWholeTree || !is_written(unit)) return std::optional<TreeRef>();
  for (const TreeRef& lower : units_of(unit->parent())) {
    if (!is_written(lower)) return std::optional<TreeRef>();
  }
  KILN_ASSIGN_OR_RETURN(BusyBody busy, BusyBody::take(unit, stop));
  KILN_ASSIGN_OR_RETURN(std::optional<std::string> known, records->attribute(unit->id(), kLooseForm));
  if (known && *known == kAsItIs) return std::optional<TreeRef>();
  if (known) {
    KILN_ASSIGN_OR_RETURN(std::optional<TreeRef> form, load(*known));
    if (form) return form;
  }
  KILN_ASSIGN_OR_RETURN(OpenTree lower, open(unit->parent(), stop));
  std::string upper;
  {
    std::lock_guard lock(body(unit).mutex);
    upper = snapshotter->directory(body(unit).snapshot);
  }
  KILN_ASSIGN_OR_RETURN(bool differs, snapshot::loose_difference_differs(lower.path(), upper, stop));
  if (!differs) {
    KILN_RETURN_IF_ERROR(records->set_attribute(unit->id(), kLooseForm, kAsItIs, ""));
    return std::optional<TreeRef>();
  }
  Draft draft(*this);
  KILN_RETURN_IF_ERROR(snapshotter->prepare(draft.id(), {}, stop));
  KILN_RETURN_IF_ERROR(snapshot::write_loose_difference(lower.path(), upper, snapshotter->directory(draft.id()), stop));
  KILN_ASSIGN_OR_RETURN(
      TreeRef form, add_list(TreeKind::kLoose, {unit->parent(), unit},
                             {.description = unit->description(), .type = unit->type(), .created = unit->created()}));
  KILN_RETURN_IF_ERROR(draft.publish(form));
  KILN_RETURN_IF_ERROR(records->set_attribute(unit->id(), kLooseForm, form->id(), ""));
  return std::optional(std::move(form));
}

}  // namespace kiln::store
