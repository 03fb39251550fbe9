// Typed values out of a TOML table, for configuration files: what has a wrong type is remembered with its line, and
// so is what nobody asked for, so that a misspelt key does not pass in silence. One thread.
#pragma once

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/command_line.h"
#include "base/status.h"
#include "base/text.h"
#include "daemon/config.h"

namespace kiln::daemon {

// Reads typed values out of one table and remembers the first that has a wrong type.
class TomlReader {
 public:
  // What all readers of one file share.
  struct Notes {
    Status wrong;                                                  // the first value of a wrong type
    std::map<const toml::table*, std::vector<std::string>> asked;  // keys that somebody reads, of each table seen
    std::set<const toml::table*> free;                             // tables whose keys are names of the user's own
  };
  TomlReader(const toml::table* table, std::string path, Notes& notes)
      : table_(table), path_(std::move(path)), notes_(notes) {
    if (table_ != nullptr) notes_.asked[table_];
  }

  TomlReader table(std::string_view key) const {
    const toml::node* node = find(key);
    if (node != nullptr && !node->is_table()) wrong(key, *node, "a table");
    return TomlReader(node != nullptr ? node->as_table() : nullptr, path_ + std::string(key) + ".", notes_);
  }
  // A key that means nothing here, and is none to warn of.
  void know(std::string_view key) const { (void)find(key); }
  // The same for a table and all that is in it.
  void ignore(std::string_view key) const { notes_.free.insert(table(key).table_); }
  void read(std::string_view key, std::string& out) const {
    if (const toml::node* node = find(key)) {
      if (auto value = node->value_exact<std::string>())
        out = *value;
      else
        wrong(key, *node, "a string");
    }
  }
  void read(std::string_view key, bool& out) const {
    if (const toml::node* node = find(key)) {
      if (auto value = node->value_exact<bool>())
        out = *value;
      else
        wrong(key, *node, "true or false");
    }
  }
  void read(std::string_view key, std::optional<bool>& out) const {
    if (bool value = false; find(key) != nullptr) {
      read(key, value);
      out = value;
    }
  }
  void read(std::string_view key, int& out) const {
    if (const toml::node* node = find(key)) {
      if (auto value = node->value_exact<std::int64_t>())
        out = static_cast<int>(*value);
      else
        wrong(key, *node, "a number");
    }
  }
  void read(std::string_view key, std::optional<int>& out) const {
    if (int value = 0; find(key) != nullptr) {
      read(key, value);
      out = value;
    }
  }
  void read(std::string_view key, std::vector<std::string>& out) const {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr) return wrong(key, *node, "a list of strings");
    out.clear();
    for (const toml::node& item : *list) {
      auto value = item.value_exact<std::string>();
      if (!value) return wrong(key, item, "a list of strings");
      out.push_back(*value);
    }
  }
  void read(std::string_view key, std::map<std::string, std::string>& out) const {
    const TomlReader inner = table(key);
    if (inner.table_ == nullptr) return;
    notes_.free.insert(inner.table_);
    for (const auto& [name, node] : *inner.table_) {
      auto value = node.value_exact<std::string>();
      if (!value) return inner.wrong(name.str(), node, "a string");
      out[std::string(name.str())] = *value;
    }
  }
  void read(std::string_view key, Duration& out) const {
    if (auto text = scalar(key)) {
      auto value = parse_config_duration(*text);
      if (value.ok())
        out = *value;
      else
        wrong(key, *find(key), "a duration (\"48h\", or seconds)");
    }
  }
  void read(std::string_view key, store::SpaceLimit& out) const {
    if (auto text = scalar(key)) {
      auto value = store::parse_space_limit(*text);
      if (value.ok())
        out = *value;
      else
        wrong(key, *find(key), "a size (\"10GB\", \"20%\", or bytes)");
    }
  }
  template <typename Each>
  void each_table_of_list(std::string_view key, Each each) const {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr) return wrong(key, *node, "a list of tables");
    for (const toml::node& item : *list) {
      if (!item.is_table()) return wrong(key, item, "a list of tables");
      each(TomlReader(item.as_table(), path_ + std::string(key) + ".", notes_));
    }
  }
  template <typename Each>
  void each_table(std::string_view key, Each each) const {
    const TomlReader inner = table(key);
    if (inner.table_ == nullptr) return;
    for (const auto& [name, node] : *inner.table_) each(std::string(name.str()), inner.table(name.str()));
  }
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // One sentence for each key that nobody asked for, in the order of the lines. Call it when all has been read.
  std::vector<std::string> unknown_keys() const {
    std::map<toml::source_index, std::string> found;
    collect_unknown(*table_, path_, found);
    std::vector<std::string> out;
    for (auto& [line, sentence] : found) out.push_back(std::move(sentence));
    return out;
  }

 private:
  // Keys are compared without regard to case, as BuildKit does it; the exact one comes first.
  const toml::node* find(std::string_view key) const {
    if (table_ == nullptr) return nullptr;
    notes_.asked[table_].emplace_back(key);
    if (const toml::node* node = table_->get(key)) return node;
    for (const auto& [name, node] : *table_) {
      if (equals_ignore_case(name.str(), key)) return &node;
    }
    return nullptr;
  }

  void collect_unknown(const toml::table& table, const std::string& path,
                       std::map<toml::source_index, std::string>& found) const {
    if (notes_.free.contains(&table)) return;
    const auto seen = notes_.asked.find(&table);
    if (seen == notes_.asked.end()) return;  // its own key is told already
    for (const auto& [name, node] : table) {
      const auto same = [&name](const std::string& key) { return equals_ignore_case(key, name.str()); };
      if (std::ranges::none_of(seen->second, same)) {
        const std::string near = nearest_word(name.str(), seen->second);
        found[name.source().begin.line] =
            fmt::format("line {}: unknown key '{}{}' in the configuration is ignored{}", name.source().begin.line, path,
                        name.str(), near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
      } else if (node.is_table()) {
        collect_unknown(*node.as_table(), path + std::string(name.str()) + ".", found);
      } else if (node.is_array_of_tables()) {
        for (const toml::node& item : *node.as_array())
          collect_unknown(*item.as_table(), path + std::string(name.str()) + ".", found);
      }
    }
  }

  // A string or a number, as text.
  std::optional<std::string> scalar(std::string_view key) const {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (auto text = node->value_exact<std::string>()) return text->empty() ? std::nullopt : text;
    if (auto number = node->value_exact<std::int64_t>()) return std::to_string(*number);
    if (auto number = node->value_exact<double>()) return fmt::format("{}", *number);
    wrong(key, *node, "a string or a number");
    return std::nullopt;
  }

  void wrong(std::string_view key, const toml::node& node, std::string_view wanted) const {
    if (!notes_.wrong.ok()) return;
    notes_.wrong = user_error(Code::kInvalidArgument,
                              fmt::format("line {}: '{}{}' must be {}", node.source().begin.line, path_, key, wanted));
  }

  const toml::table* table_;
  std::string path_;
  Notes& notes_;
};

}  // namespace kiln::daemon
