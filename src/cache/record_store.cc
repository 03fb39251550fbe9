#include "cache/record_store.h"

#include <algorithm>
#include <map>
#include <set>

namespace kiln::cache {

void in_batch(RecordStore& store, const std::function<void()>& body) {
  if (auto* batched = dynamic_cast<Batched*>(&store)) {
    batched->batch(body);
  } else {
    body();
  }
}

std::vector<KeyId> find_keys(const RecordStore& store, const std::string& out_key,
                             const std::vector<std::vector<InputKey>>& inputs) {
  if (inputs.empty()) {
    if (store.knows(out_key)) return {out_key};
    return {};
  }
  std::vector<KeyId> found;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::set<KeyId> reached;
    for (const auto& alternative : inputs[i]) {
      for (auto& to : store.targets(alternative.key, {static_cast<int>(i), out_key, alternative.selector})) {
        reached.insert(std::move(to));
      }
    }
    if (i == 0) {
      found.assign(reached.begin(), reached.end());
    } else {
      std::erase_if(found, [&](const KeyId& key) { return !reached.contains(key); });
    }
    if (found.empty()) return found;
  }
  return found;
}

void link_inputs(RecordStore& store, const std::string& out_key, const std::vector<std::vector<InputKey>>& inputs,
                 const KeyId& to) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (const auto& alternative : inputs[i]) {
      store.add_link(alternative.key, {static_cast<int>(i), out_key, alternative.selector}, to);
    }
  }
}

struct MemoryRecordStore::State {
  struct Node {
    std::map<Link, std::set<KeyId>> links;
    std::set<std::pair<KeyId, Link>> backlinks;
    std::vector<Record> records;
  };
  mutable std::mutex mutex;
  std::map<KeyId, Node> nodes;

  // Removes keys that hold nothing and lead nowhere, and then those that led only to them.
  void sweep(std::vector<KeyId> suspects) {
    while (!suspects.empty()) {
      KeyId key = std::move(suspects.back());
      suspects.pop_back();
      auto it = nodes.find(key);
      if (it == nodes.end() || !it->second.records.empty() || !it->second.links.empty()) continue;
      for (const auto& [from, link] : it->second.backlinks) {
        auto source = nodes.find(from);
        if (source == nodes.end()) continue;
        auto& targets = source->second.links[link];
        targets.erase(key);
        if (targets.empty()) source->second.links.erase(link);
        suspects.push_back(from);
      }
      nodes.erase(it);
    }
  }
};

MemoryRecordStore::MemoryRecordStore() : state_(std::make_unique<State>()) {}
MemoryRecordStore::~MemoryRecordStore() = default;

std::vector<KeyId> MemoryRecordStore::targets(const KeyId& from, const Link& link) const {
  std::lock_guard lock(state_->mutex);
  auto node = state_->nodes.find(from);
  if (node == state_->nodes.end()) return {};
  auto links = node->second.links.find(link);
  if (links == node->second.links.end()) return {};
  return {links->second.begin(), links->second.end()};
}

bool MemoryRecordStore::knows(const KeyId& key) const {
  std::lock_guard lock(state_->mutex);
  return state_->nodes.contains(key);
}

std::vector<Record> MemoryRecordStore::records(const KeyId& key) const {
  std::lock_guard lock(state_->mutex);
  auto node = state_->nodes.find(key);
  if (node == state_->nodes.end()) return {};
  auto out = node->second.records;
  std::stable_sort(out.begin(), out.end(), [](const Record& a, const Record& b) { return a.created > b.created; });
  return out;
}

void MemoryRecordStore::add_record(const KeyId& key, const Record& record) {
  std::lock_guard lock(state_->mutex);
  auto& records = state_->nodes[key].records;
  std::erase_if(records, [&](const Record& r) { return r.id == record.id; });
  records.push_back(record);
}

void MemoryRecordStore::add_link(const KeyId& from, const Link& link, const KeyId& to) {
  std::lock_guard lock(state_->mutex);
  state_->nodes[from].links[link].insert(to);
  state_->nodes[to].backlinks.insert({from, link});
}

std::vector<Backlink> MemoryRecordStore::backlinks(const KeyId& key) const {
  std::lock_guard lock(state_->mutex);
  std::vector<Backlink> out;
  auto node = state_->nodes.find(key);
  if (node == state_->nodes.end()) return out;
  for (const auto& [from, link] : node->second.backlinks) out.push_back({from, link});
  return out;
}

void MemoryRecordStore::forget(const std::string& record_id) {
  std::lock_guard lock(state_->mutex);
  std::vector<KeyId> suspects;
  for (auto& [key, node] : state_->nodes) {
    if (std::erase_if(node.records, [&](const Record& r) { return r.id == record_id; }) > 0) suspects.push_back(key);
  }
  state_->sweep(std::move(suspects));
}

}  // namespace kiln::cache
