#include "frontend/dockerfile/location.h"

#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"

namespace kiln::frontend::dockerfile {
namespace {

// "1:0-1:0,2:0-2:0;5:0-5:0": places apart by ';', ranges by ','.
constexpr std::string_view kPlaces = "kiln/dockerfile-places";
constexpr std::string_view kWord = "kiln/dockerfile-word";

void erase_detail(Status& status, std::string_view type) {
  status.ErasePayload(absl::string_view(type.data(), type.size()));
}

int number(std::string_view text) { return static_cast<int>(parse_integer(text).value_or(0)); }

Range parse_range(std::string_view text) {
  auto [start, end] = split_once(text, '-');
  auto [start_line, start_character] = split_once(start, ':');
  auto [end_line, end_character] = split_once(end, ':');
  return {{number(start_line), number(start_character)}, {number(end_line), number(end_character)}};
}

}  // namespace

Ranges lines(int first, int last) {
  Ranges out;
  for (int line = first; line == first || line <= last; ++line) out.push_back({{line, 0}, {line, 0}});
  return out;
}

Status with_ranges(Status status, const Ranges& ranges) {
  if (status.ok() || ranges.empty()) return status;
  std::string text = get_detail(status, kPlaces).value_or("");
  if (!text.empty()) text += ';';
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const Range& r = ranges[i];
    text +=
        fmt::format("{}{}:{}-{}:{}", i == 0 ? "" : ",", r.start.line, r.start.character, r.end.line, r.end.character);
  }
  set_detail(status, kPlaces, text);
  return status;
}

std::vector<Ranges> ranges_of(const Status& status) {
  std::vector<Ranges> out;
  std::optional<std::string> text = get_detail(status, kPlaces);
  if (!text) return out;
  for (std::string_view place : split(*text, ';')) {
    Ranges ranges;
    for (std::string_view range : split(place, ',')) ranges.push_back(parse_range(range));
    out.push_back(std::move(ranges));
  }
  return out;
}

Status with_word(Status status, std::string_view word) {
  if (!status.ok() && !word.empty() && !get_detail(status, kWord)) set_detail(status, kWord, word);
  return status;
}

Status word_fault(std::string_view word, std::string_view message) {
  return with_word(user_error(Code::kInvalidArgument, message), word);
}

std::string word_of(const Status& status) { return get_detail(status, kWord).value_or(""); }

Status without_ranges(Status status) {
  if (status.ok()) return status;
  erase_detail(status, kPlaces);
  erase_detail(status, kWord);
  return status;
}

}  // namespace kiln::frontend::dockerfile
