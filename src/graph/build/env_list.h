// Environment of a state: names in the order of their last assignment, as exec ops carry them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::graph::build {

// A value; copies share their content until one of them changes. Any thread once built.
class EnvList {
 public:
  // A name assigned again moves to the end.
  void set(std::string_view name, std::string_view value);
  void unset(std::string_view name);
  std::optional<std::string> get(std::string_view name) const;
  std::vector<std::string> names() const;
  // "NAME=value" each.
  std::vector<std::string> entries() const;
  bool empty() const { return !entries_ || entries_->empty(); }

 private:
  using Entries = std::vector<std::pair<std::string, std::string>>;
  Entries& own();
  std::shared_ptr<Entries> entries_;
};

}  // namespace kiln::graph::build
