#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/text.h"
#include "store/internal/holdings.h"
#include "store/internal/state.h"

namespace kiln::store {

namespace {

Holding from_record(const Record& record) {
  Holding h;
  h.usage.id = record.id;
  h.usage.is_mutable = record.is_mutable;
  h.usage.parents = record.parents;
  std::erase(h.usage.parents, "");
  h.usage.created = Time(Time::duration(record.created_ns));
  if (record.last_used_ns != 0) h.usage.last_used = Time(Time::duration(record.last_used_ns));
  h.usage.usage_count = record.uses;
  h.usage.description = record.description;
  h.usage.type = record.type;
  h.snapshot = record.snapshot;
  h.twin = record.twin;
  return h;
}

// Who is held now, by id; and trees being written that have no record.
void add_living(TreesState& state, Holdings& holdings) {
  std::lock_guard lock(state.mutex);
  for (auto& [id, tree] : state.live) {
    if (tree.expired()) continue;
    if (Holding* h = holdings.find(id)) h->held = true;
  }
  for (auto& [id, writing] : state.writing) {
    if (Holding* h = holdings.find(id)) {
      h->held = true;
      continue;
    }
    if (writing.kept) continue;
    Holding h;
    h.usage.id = id;
    h.usage.is_mutable = true;
    h.usage.created = writing.created;
    h.usage.description = writing.options.description;
    h.usage.type = writing.options.type;
    if (!writing.parent.empty()) h.usage.parents = {writing.parent};
    h.held = true;
    holdings.by_id.emplace(id, holdings.all.size());
    holdings.all.push_back(std::move(h));
  }
}

void mark_in_use(Holdings& holdings, std::size_t index) {
  std::vector<std::size_t> open = {index};
  while (!open.empty()) {
    Holding& h = holdings.all[open.back()];
    open.pop_back();
    if (h.usage.in_use) continue;
    h.usage.in_use = true;
    for (const std::string& parent : h.usage.parents) {
      if (auto at = holdings.by_id.find(parent); at != holdings.by_id.end()) open.push_back(at->second);
    }
  }
}

// Of a kept tree and the frozen picture of it only one is shown: the picture while it is held.
void hide_doubles(Holdings& holdings) {
  for (Holding& h : holdings.all) {
    if (h.twin.empty()) continue;
    Holding* kept = holdings.find(h.twin);
    if (!kept) continue;
    (h.held ? *kept : h).hidden = true;
  }
}

}  // namespace

Result<Holdings> take_holdings(TreesState& state, std::stop_token stop) {
  (void)state.later->flush();  // use counts that could not be written were logged
  KILN_ASSIGN_OR_RETURN(std::vector<Record> records, state.records->all());
  KILN_ASSIGN_OR_RETURN(std::vector<BlobRow> blobs, state.records->local_blobs());
  Holdings holdings;
  holdings.all.reserve(records.size());
  for (const Record& record : records) {
    holdings.by_id.emplace(record.id, holdings.all.size());
    holdings.all.push_back(from_record(record));
  }
  add_living(state, holdings);
  hide_doubles(holdings);
  for (std::size_t i = 0; i < holdings.all.size(); ++i) {
    if (holdings.all[i].held) mark_in_use(holdings, i);
    for (const std::string& parent : holdings.all[i].usage.parents) {
      if (Holding* p = holdings.find(parent)) ++p->children;
    }
  }
  // A directory or a blob that several records have is counted once, for the oldest that is shown.
  std::unordered_set<std::string> counted;
  std::vector<std::function<Status(std::stop_token)>> jobs;
  for (std::size_t i = 0; i < records.size(); ++i) {
    Holding& h = holdings.all[i];
    const bool changing = h.usage.is_mutable && h.held;
    if (h.hidden || changing || h.snapshot.empty() || !counted.insert(h.snapshot).second) continue;
    if (records[i].snapshot_size != kUnknownSize) {
      h.usage.size += records[i].snapshot_size;
      continue;
    }
    jobs.push_back([&state, &h](std::stop_token inner) -> Status {
      Result<host::DiskUsage> measured = state.snapshotter->usage(h.snapshot, inner);
      if (!measured.ok()) return is_not_found(measured.status()) ? ok() : measured.status();  // pruned meanwhile
      h.usage.size += measured->bytes;
      // On a full disk it is measured again the next time.
      (void)state.records->set_snapshot_size(h.usage.id, measured->bytes);
      return ok();
    });
  }
  KILN_RETURN_IF_ERROR(run_together(state.options.pool, std::move(jobs), stop));
  std::map<std::string, std::vector<Digest>> layers;
  for (const BlobRow& row : blobs) {
    Holding* h = holdings.find(row.tree);
    if (h && !h->hidden && counted.insert(row.digest).second) h->usage.size += row.size;
    if (state.options.shared) layers[row.tree].push_back(Digest::trusted(row.digest));
  }
  if (state.options.shared) {
    for (Holding& h : holdings.all) h.usage.shared = state.options.shared(h.usage.id, layers[h.usage.id]);
  }
  return holdings;
}

bool matches(const Filter& filter, const Usage& u) {
  using Value = std::optional<std::string>;
  auto yes = [](bool value) { return value ? Value("true") : Value(); };
  auto text = [](std::string value) { return value.empty() ? Value() : Value(std::move(value)); };
  return filter.matches([&](std::span<const std::string> path) -> Value {
    if (path.empty()) return {};
    const std::string& field = path[0];
    if (field == "id") return text(u.id);
    if (field == "parents") return text(join(u.parents, ";"));
    if (field == "description") return text(u.description);
    if (field == "inuse") return yes(u.in_use);
    if (field == "mutable") return yes(u.is_mutable);
    if (field == "immutable") return yes(!u.is_mutable);
    if (field == "type") return std::string(to_string(u.type));
    if (field == "shared") return yes(u.shared);
    if (field == "private") return yes(!u.shared);
    return {};
  });
}

Result<std::vector<Usage>> Trees::du(const std::vector<std::string>& filters, std::stop_token stop,
                                     Duration age_limit) {
  KILN_ASSIGN_OR_RETURN(Filter filter, Filter::parse_any(filters));
  KILN_ASSIGN_OR_RETURN(Holdings holdings, take_holdings(*state_, stop));
  const Time cut = state_->clock->now() - std::chrono::duration_cast<Time::duration>(age_limit);
  std::vector<Usage> shown;
  for (Holding& h : holdings.all) {
    if (h.hidden || !matches(filter, h.usage)) continue;
    if (age_limit > Duration::zero() && h.usage.last_used && *h.usage.last_used > cut) continue;
    shown.push_back(std::move(h.usage));
  }
  return shown;
}

}  // namespace kiln::store
