// The `--flags` in front of an instruction's words, checked against those the instruction knows.
//
//   FlagSet flags;
//   auto& from = flags.text("from");
//   auto& link = flags.boolean("link");
//   KILN_RETURN_IF_ERROR(flags.parse(statement.flags));
//   use(from.value, link.on());
//
// Private to the text layer.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::frontend::dockerfile {

class FlagSet {
 public:
  enum class Kind { kBoolean, kText, kList };
  struct Flag {
    std::string name;
    Kind kind;
    std::string value;                // text; "true" or "false" of a boolean
    std::vector<std::string> values;  // of a list
    bool used = false;
    bool on() const { return value == "true"; }
  };

  // References stay valid as long as the set.
  Flag& boolean(std::string_view name) { return add(name, Kind::kBoolean, "false"); }
  Flag& text(std::string_view name, std::string_view value = "") { return add(name, Kind::kText, value); }
  Flag& list(std::string_view name) { return add(name, Kind::kList, ""); }

  // InvalidArgument for an unknown flag (with suggestion), one given twice, a missing or wrong
  // value.
  Status parse(const std::vector<std::string>& words);
  // Names of the flags that were given, in the order they were declared.
  std::vector<std::string> used() const;

 private:
  Flag& add(std::string_view name, Kind kind, std::string_view value);
  Status set(Flag& flag, std::string_view shown, std::string_view value, bool has_value);
  std::deque<Flag> flags_;
};

}  // namespace kiln::frontend::dockerfile
