// JSON whose bytes matter. Prints what Go's encoding/json prints: struct order as called, strings
// with <, >, & and U+2028/9 escaped, invalid UTF-8 replaced, indentation as json.MarshalIndent.
//
//   JsonWriter w(JsonLayout::kIndented);
//   w.begin_object(); w.key("schemaVersion"); w.integer(2); w.end_object();
//   std::string text = w.take();
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "content/descriptor.h"

namespace kiln::content {

// One thread; calls must nest properly (a misuse is our bug and fails a check).
class JsonWriter {
 public:
  explicit JsonWriter(JsonLayout layout = JsonLayout::kCompact) : layout_(layout) {}
  void begin_object();
  void end_object();
  void begin_array();
  void end_array();
  void key(std::string_view name);
  void string(std::string_view value);
  void integer(std::int64_t value);
  void boolean(bool value);
  void null();
  // A value that is JSON already; put in as it is (compact layout) or re-indented.
  void raw(std::string_view json);
  // key and value, left out when empty, as `omitempty`.
  void string_if(std::string_view name, std::string_view value);
  void strings_if(std::string_view name, const std::vector<std::string>& values);
  void map_if(std::string_view name, const StringMap& values);

  std::string take() { return std::move(text_); }

 private:
  void before_value();
  void close(char bracket);
  void newline();
  JsonLayout layout_;
  std::string text_;
  std::vector<bool> has_items_;  // one a nesting level
  bool after_key_ = false;
};

// Blanks outside strings removed and <, >, & escaped inside, as Go compacts a RawMessage. The text
// must be valid JSON.
std::string json_compact(std::string_view json);
// The members of a JSON object with their raw values, in order. FailedPrecondition when it is none.
Result<std::vector<std::pair<std::string, std::string>>> json_members(std::string_view json);

}  // namespace kiln::content
