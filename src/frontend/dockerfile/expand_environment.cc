#include "base/text.h"
#include "frontend/dockerfile/expand.h"

namespace kiln::frontend::dockerfile {

std::string EnvironmentList::key_of(std::string_view name) const {
  return compare_ == Names::kIgnoreCase ? to_upper(name) : std::string(name);
}

EnvironmentList EnvironmentList::from(const std::vector<std::string>& entries, Names names) {
  EnvironmentList list(names);
  for (const std::string& entry : entries) {
    auto [name, value] = split_once(entry, '=');
    list.set(name, value);
  }
  return list;
}

void EnvironmentList::set(std::string_view name, std::string_view value) {
  auto [at, added] = index_.try_emplace(key_of(name), values_.size());
  if (added) {
    values_.emplace_back(name, value);
  } else {
    values_[at->second].second = value;
  }
}

void EnvironmentList::unset(std::string_view name) {
  auto at = index_.find(key_of(name));
  if (at == index_.end()) return;
  std::size_t gone = at->second;
  index_.erase(at);
  values_.erase(values_.begin() + static_cast<std::ptrdiff_t>(gone));
  for (auto& [key, index] : index_) {
    if (index > gone) --index;
  }
}

std::optional<std::string> EnvironmentList::get(std::string_view name) const {
  auto at = index_.find(key_of(name));
  if (at == index_.end()) return std::nullopt;
  return values_[at->second].second;
}

std::vector<std::string> EnvironmentList::names() const {
  std::vector<std::string> out;
  for (const auto& [name, value] : values_) out.push_back(name);
  return out;
}

std::vector<std::string> EnvironmentList::entries() const {
  std::vector<std::string> out;
  for (const auto& [name, value] : values_) out.push_back(name + "=" + value);
  return out;
}

}  // namespace kiln::frontend::dockerfile
