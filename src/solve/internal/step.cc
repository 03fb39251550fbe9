#include "solve/internal/step.h"

namespace kiln::solve {

std::vector<cache::KeyId> EdgeState::keys_in(SourceId source) const {
  std::vector<cache::KeyId> out = common_keys;
  if (auto it = source_keys.find(source); it != source_keys.end()) {
    out.insert(out.end(), it->second.begin(), it->second.end());
  }
  return out;
}

bool EdgeState::has_keys_in(SourceId source) const {
  if (!common_keys.empty()) return true;
  auto it = source_keys.find(source);
  return it != source_keys.end() && !it->second.empty();
}

void JobSet::insert(std::uint64_t job) {
  std::lock_guard lock(mutex_);
  jobs_.insert(job);
}
void JobSet::erase(std::uint64_t job) {
  std::lock_guard lock(mutex_);
  jobs_.erase(job);
}
bool JobSet::contains(std::uint64_t job) const {
  std::lock_guard lock(mutex_);
  return jobs_.contains(job);
}
bool JobSet::empty() const {
  std::lock_guard lock(mutex_);
  return jobs_.empty();
}
std::vector<std::uint64_t> JobSet::list() const {
  std::lock_guard lock(mutex_);
  return {jobs_.begin(), jobs_.end()};
}

EdgeState& Step::edge(int output) {
  auto& slot = edges[output];
  if (!slot) {
    slot = std::make_unique<EdgeState>();
    slot->step = this;
    slot->output = output;
  }
  return *slot;
}

bool Step::wanted() const {
  for (const auto& [output, edge] : edges) {
    if (edge->wanted()) return true;
  }
  for (const auto& follower : followers) {
    if (follower->wanted()) return true;
  }
  return false;
}

}  // namespace kiln::solve
