// What a failed build says at the end: excerpts of the source, words of policies, the error.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/text.h"
#include "client/rpc.h"
#include "wire/rpc_status.pb.h"

namespace kiln::client {
namespace {

// ":12", when the place is known that exactly.
std::string column_of(const std::vector<LineRange>& ranges) {
  auto narrow = std::find_if(ranges.begin(), ranges.end(), [](const LineRange& r) { return r.end > r.begin; });
  if (narrow == ranges.end()) return "";
  const std::string column = fmt::format(":{}", narrow->begin + 1);
  return narrow->first == ranges.front().first ? column : fmt::format(" ({}{})", narrow->first, column);
}

// A line of marks under the range's characters; tabs before them stay tabs.
std::string underline(std::string_view text, const LineRange& range) {
  const auto begin = static_cast<std::size_t>(std::max(range.begin, 0));
  const std::size_t end = std::min(text.size(), static_cast<std::size_t>(std::max(range.end, 0)));
  if (range.first != range.last || end <= begin) return "";
  std::string out = "     |     ";
  auto width = [&](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };  // one mark a code point
  for (char c : text.substr(0, begin)) {
    if (width(c)) out.push_back(c == '\t' ? '\t' : ' ');
  }
  for (char c : text.substr(begin, end - begin)) {
    if (width(c)) out.push_back('^');
  }
  return out + "\n";
}

}  // namespace

std::string source_excerpt(std::string_view filename, std::string_view data, const std::vector<LineRange>& ranges) {
  std::vector<std::string_view> lines = split(data, '\n');
  int count = static_cast<int>(lines.size()), first = 0, last = 0;
  for (const LineRange& range : ranges) {
    first = first == 0 ? range.first : std::min(first, range.first);
    last = std::max({last, range.first, range.last});
  }
  if (first < 1 || first > count) return "";
  last = std::min(last, count);
  int marked_first = first;
  // A single line gets more of its surroundings than several do.
  int padding = first == last ? 4 : 2;
  for (int added = 0; added < padding; ++added) {
    if (first > 1) --first, ++added;
    if (last < count) ++last, ++added;
  }
  std::string out = fmt::format("{}:{}{}\n--------------------\n", filename, marked_first, column_of(ranges));
  for (int line = first; line <= last; ++line) {
    bool marked = std::any_of(ranges.begin(), ranges.end(),
                              [&](const LineRange& r) { return line >= r.first && line <= std::max(r.first, r.last); });
    std::string_view text = lines[static_cast<std::size_t>(line - 1)];
    if (text.ends_with('\r')) text.remove_suffix(1);
    out += fmt::format(" {:3} | {} {}\n", line, marked ? ">>>" : "   ", text);
    for (const LineRange& range : ranges) {
      if (range.first == line) out += underline(text, range);
    }
  }
  return out + "--------------------\n";
}

namespace {

int number_of(const nlohmann::json& range, const char* end, const char* part) {
  if (!range.is_object() || !range.contains(end) || !range[end].is_object()) return 0;
  const auto& position = range[end];
  return position.contains(part) && position[part].is_number() ? position[part].get<int>() : 0;
}

LineRange range_of(const nlohmann::json& range) {
  return {number_of(range, "start", "line"), number_of(range, "end", "line"), number_of(range, "start", "character"),
          number_of(range, "end", "character")};
}

std::string excerpt_of(const nlohmann::json& source) {
  if (!source.contains("info") || !source["info"].is_object()) return "";
  const auto& info = source["info"];
  auto text = [&](const char* key) {
    return info.contains(key) && info[key].is_string() ? info[key].get<std::string>() : std::string();
  };
  std::vector<LineRange> ranges;
  if (source.contains("ranges") && source["ranges"].is_array()) {
    for (const auto& range : source["ranges"]) ranges.push_back(range_of(range));
  }
  return source_excerpt(text("filename"), base64_decode(text("data")).value_or(""), ranges);
}

std::string policy_words(const nlohmann::json& decision) {
  std::string out;
  for (const char* key : {"denyMessages", "deny_messages"}) {
    if (!decision.contains(key) || !decision[key].is_array()) continue;
    for (const auto& deny : decision[key]) {
      if (deny.is_object() && deny.contains("message") && deny["message"].is_string())
        out += fmt::format("policy deny: {}\n", deny["message"].get<std::string>());
    }
  }
  return out;
}

}  // namespace

std::string error_report(const Status& status, Verbosity verbosity) {
  std::string out, others;
  google::rpc::Status details;
  if (auto bytes = get_detail(status, kRpcDetails); bytes && details.ParseFromString(*bytes)) {
    for (const auto& detail : details.details()) {
      std::string_view type = detail.type_url();
      nlohmann::json value = nlohmann::json::parse(detail.value(), nullptr, false);
      if (type.find("errdefs.Source") != std::string_view::npos && value.is_object()) {
        out += excerpt_of(value);
      } else if (type.find("DecisionResponse") != std::string_view::npos && value.is_object()) {
        out += policy_words(value);
      } else {
        others +=
            fmt::format("  {}: {}\n", type,
                        value.is_discarded() ? fmt::format("{} bytes", detail.value().size())
                                             : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      }
    }
  }
  out += fmt::format("error: {}\n", message_of(status));
  if (verbosity == Verbosity::kDebug)
    out += fmt::format("code: {}\n{}", absl::StatusCodeToString(status.code()), others);
  return out;
}

}  // namespace kiln::client
