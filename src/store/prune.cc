#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "store/internal/holdings.h"
#include "store/internal/state.h"

namespace kiln::store {

Status TreesState::remove_record(const std::string& id) {
  KILN_ASSIGN_OR_RETURN(Records::Leftovers left, records->remove(id));
  drop_leftovers(id, left);
  return ok();
}

Result<bool> TreesState::remove_unheld(const std::string& id) {
  Records::Leftovers left;
  {
    std::lock_guard lock(mutex);
    auto at = live.find(id);
    if (at != live.end() && !at->second.expired()) return false;
    KILN_ASSIGN_OR_RETURN(bool stood_upon, records->has_children(id));
    if (stood_upon) return false;
    KILN_ASSIGN_OR_RETURN(left, records->remove(id));
  }
  drop_leftovers(id, left);
  return true;
}

void TreesState::drop_leftovers(const std::string& id, const Records::Leftovers& left) {
  if (!left.snapshot.empty()) {
    if (Status gone = snapshotter->remove(left.snapshot); !gone.ok()) {
      log_warn("remove snapshot '{}': {}", left.snapshot, message_of(gone));
    }
    forget_digests(left.snapshot);
  }
  forget_digests(id);
  drop_blobs(left.blobs);
  if (options.on_removed) options.on_removed(id);
}

namespace {

// One rule carried out on one picture of what is held.
class Pruning {
 public:
  Pruning(TreesState& state, const PruneOptions& rule, Filter filter, Holdings& holdings,
          const std::function<void(const Usage&)>& removed)
      : state_(state), rule_(rule), filter_(std::move(filter)), removed_(removed), holdings_(holdings) {}

  Status run(std::stop_token stop, PruneReport& report) {
    for (const Holding& h : holdings_.all) {
      if (!h.hidden && !h.usage.shared) total_ += h.usage.size;
    }
    host::DiskSpace disk;
    if (rule_.min_free_space != 0) {
      KILN_ASSIGN_OR_RETURN(disk, host::disk_space(state_.options.root));
    }
    keep_ = bytes_to_keep(rule_, total_, disk);
    for (std::size_t i = 0; i < holdings_.all.size(); ++i) {
      if (may_go(holdings_.all[i])) queue_.push_back(i);
    }
    std::size_t since_ranked = queue_.size();
    bool stale = true;
    while (!queue_.empty() && !(keep_ != 0 && total_ < keep_)) {
      if (stop.stop_requested()) return cancelled();
      // Ranking anew after each removal is what the order means; with very many candidates a little
      // staleness is traded for time.
      if (keep_ != 0 && stale && since_ranked * 1000 >= queue_.size()) {
        rank();
        stale = false;
        since_ranked = 0;
      }
      ++since_ranked;
      std::size_t index = queue_.back();
      queue_.pop_back();
      KILN_ASSIGN_OR_RETURN(bool gone, remove(holdings_.all[index]));
      if (!gone) continue;
      const Usage& usage = holdings_.all[index].usage;
      total_ -= usage.size;
      report.bytes += usage.size;
      ++report.records;
      if (removed_) removed_(usage);
      stale = expose_parents(usage) || stale;
    }
    return ok();
  }

 private:
  bool may_go(const Holding& h) const {
    if (h.hidden || h.held || h.children > 0) return false;
    const Usage& u = h.usage;
    if (!rule_.all && (u.type == RecordType::kInternal || u.type == RecordType::kFrontend || u.shared)) return false;
    if (rule_.keep_duration != Duration::zero() && u.last_used &&
        *u.last_used > state_.clock->now() - std::chrono::duration_cast<Time::duration>(rule_.keep_duration)) {
      return false;
    }
    return matches(filter_, u);
  }

  bool expose_parents(const Usage& usage) {
    bool any = false;
    for (const std::string& parent : usage.parents) {
      Holding* h = holdings_.find(parent);
      if (!h || --h->children > 0 || !may_go(*h)) continue;
      queue_.push_back(static_cast<std::size_t>(h - holdings_.all.data()));
      any = true;
    }
    return any;
  }

  Result<bool> remove(Holding& h) {
    const std::string& id = h.usage.id;
    if (!h.usage.is_mutable) return state_.remove_unheld(id);
    {
      std::lock_guard lock(state_.mutex);
      if (!state_.writing.emplace(id, TreesState::Writing{true, {}, "", {}}).second) return false;
    }
    Result<bool> gone = remove_kept(id);
    std::lock_guard lock(state_.mutex);
    state_.writing.erase(id);
    return gone;
  }

  Result<bool> remove_kept(const std::string& id) {
    KILN_ASSIGN_OR_RETURN(std::optional<std::string> frozen, state_.records->child_of_twin(id));
    if (frozen) {
      KILN_ASSIGN_OR_RETURN(bool gone, state_.remove_unheld(*frozen));
      if (!gone) return false;
    }
    KILN_RETURN_IF_ERROR(state_.remove_record(id));
    return true;
  }

  // Next to go last: old and seldom used, by the sum of two relative ranks.
  void rank() {
    struct Candidate {
      std::size_t index;
      Time last_used;
      int uses;
      double age_rank = 0, use_rank = 0;
    };
    std::vector<Candidate> candidates;
    for (std::size_t index : queue_) {
      const Usage& u = holdings_.all[index].usage;
      candidates.push_back({index, u.last_used.value_or(Time::min()), u.usage_count});
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.last_used < b.last_used; });
    double ages = 1;
    Time newest{};
    for (Candidate& c : candidates) {
      if (c.last_used > newest) {
        newest = c.last_used;
        ++ages;
      }
      c.age_rank = ages;
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.uses < b.uses; });
    double counts = 1;
    int most = 0;
    for (Candidate& c : candidates) {
      if (c.uses != most) {
        most = c.uses;
        ++counts;
      }
      c.use_rank = counts;
    }
    auto weight = [&](const Candidate& c) { return c.age_rank / ages + c.use_rank / counts; };
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](const Candidate& a, const Candidate& b) { return weight(a) > weight(b); });
    queue_.clear();
    for (const Candidate& c : candidates) queue_.push_back(c.index);
  }

  TreesState& state_;
  const PruneOptions& rule_;
  Filter filter_;
  const std::function<void(const Usage&)>& removed_;
  Holdings& holdings_;
  std::vector<std::size_t> queue_;  // indexes; the next to go is at the back
  std::int64_t total_ = 0;
  std::int64_t keep_ = 0;
};

}  // namespace

Result<PruneReport> Trees::prune(const std::vector<PruneOptions>& policy, std::stop_token stop,
                                 const std::function<void(const Usage&)>& removed) {
  std::lock_guard one(state_->prune_mutex);
  PruneReport report;
  // Taking the picture reads every record; it stays good until something was removed.
  std::optional<Holdings> holdings;
  for (const PruneOptions& rule : policy) {
    KILN_ASSIGN_OR_RETURN(Filter filter, Filter::parse_any(rule.filters));
    if (!holdings) {
      KILN_ASSIGN_OR_RETURN(holdings, take_holdings(*state_, stop));
    }
    const auto before = report.records;
    KILN_RETURN_IF_ERROR(Pruning(*state_, rule, std::move(filter), *holdings, removed).run(stop, report));
    if (report.records != before) holdings.reset();
  }
  return report;
}

}  // namespace kiln::store
