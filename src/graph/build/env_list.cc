#include "graph/build/env_list.h"

#include <algorithm>

namespace kiln::graph::build {

EnvList::Entries& EnvList::own() {
  if (!entries_) {
    entries_ = std::make_shared<Entries>();
  } else if (entries_.use_count() != 1) {
    entries_ = std::make_shared<Entries>(*entries_);
  }
  return *entries_;
}

void EnvList::unset(std::string_view name) {
  if (!get(name)) return;
  std::erase_if(own(), [name](const auto& entry) { return entry.first == name; });
}

void EnvList::set(std::string_view name, std::string_view value) {
  std::string kept_name(name), kept_value(value);  // may point into what is about to change
  unset(kept_name);
  own().emplace_back(std::move(kept_name), std::move(kept_value));
}

std::optional<std::string> EnvList::get(std::string_view name) const {
  if (!entries_) return std::nullopt;
  for (const auto& [key, value] : *entries_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string> EnvList::names() const {
  std::vector<std::string> out;
  if (entries_) {
    for (const auto& [key, value] : *entries_) out.push_back(key);
  }
  return out;
}

std::vector<std::string> EnvList::entries() const {
  std::vector<std::string> out;
  if (entries_) {
    for (const auto& [key, value] : *entries_) out.push_back(key + "=" + value);
  }
  return out;
}

}  // namespace kiln::graph::build
