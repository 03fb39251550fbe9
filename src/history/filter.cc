#include "history/filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/filter.h"
#include "base/git_url.h"
#include "base/text.h"

namespace kiln::history {
namespace {

using Condition = std::function<bool(const Record&)>;

// The fields of one CSV line: separated by commas, quoted where they hold commas, quotes doubled.
Result<std::vector<std::string>> csv_fields(std::string_view line) {
  std::vector<std::string> fields;
  std::size_t at = 0;
  while (true) {
    std::string field;
    if (at < line.size() && line[at] == '"') {
      for (++at;; ++at) {
        if (at >= line.size()) {
          return user_error(Code::kInvalidArgument, fmt::format("parse error: quote is not closed in '{}'", line));
        }
        if (line[at] != '"') {
          field += line[at];
        } else if (at + 1 < line.size() && line[at + 1] == '"') {
          field += line[at++];
        } else {
          ++at;
          break;
        }
      }
    }
    while (at < line.size() && line[at] != ',') field += line[at++];
    fields.push_back(std::move(field));
    if (at >= line.size()) return fields;
    ++at;
  }
}

std::int64_t unix_seconds(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

bool compare(std::int64_t a, std::string_view op, std::int64_t b) {
  if (op == ">=") return a >= b;
  if (op == "<=") return a <= b;
  if (op == ">") return a > b;
  return a < b;
}

// A condition on a time; nothing when the field is none.
Result<std::optional<Condition>> time_condition(std::string_view field, Time now) {
  for (std::string_view op : {">=", "<=", ">", "<"}) {
    const std::size_t at = field.find(op);
    if (at == std::string_view::npos) continue;
    const std::string_view key = field.substr(0, at);
    const std::string_view value = field.substr(at + op.size());
    const std::string sign(op);
    if (key == "duration") {
      auto wanted = parse_duration(value);
      if (!wanted.ok()) return user_error(Code::kInvalidArgument, fmt::format("invalid duration {}", value));
      return Condition([sign, wanted = wanted->count()](const Record& r) {
        const std::int64_t took =
            r.completed ? std::chrono::duration_cast<Duration>(*r.completed - r.created).count() : 0;
        return compare(took, sign, wanted);
      });
    }
    if (key != "startedAt" && key != "completedAt") return std::nullopt;
    std::int64_t wanted = 0;
    if (auto age = parse_duration(value); age.ok()) {
      wanted = unix_seconds(now - std::chrono::duration_cast<Time::duration>(*age));
    } else if (auto moment = parse_rfc3339(value); moment.ok()) {
      wanted = unix_seconds(*moment);
    } else {
      return user_error(Code::kInvalidArgument, fmt::format("invalid time {}", value));
    }
    const bool start = key == "startedAt";
    return Condition([sign, wanted, start](const Record& r) {
      const std::int64_t have = start ? unix_seconds(r.created) : r.completed ? unix_seconds(*r.completed) : 0;
      return compare(have, sign, wanted);
    });
  }
  return std::nullopt;
}

std::optional<std::string> repository_of(const Record& record) {
  if (auto it = record.frontend_attrs.find("vcs:source"); it != record.frontend_attrs.end()) return it->second;
  auto it = record.frontend_attrs.find("context");
  if (it == record.frontend_attrs.end()) return std::nullopt;
  auto url = parse_git_url(it->second);
  if (!url.ok()) return std::nullopt;
  return url->remote;
}

std::string status_of(const Record& record) {
  if (!record.completed) return "running";
  if (!record.error) return "completed";
  const bool canceled = record.error->code == static_cast<int>(Code::kCancelled) ||
                        record.error->message.find("context canceled") != std::string::npos;
  return canceled ? "canceled" : "error";
}

Result<Condition> parse_line(std::string_view line, Time now) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> fields, csv_fields(line));
  std::vector<Condition> all;
  std::string plain;
  for (const std::string& field : fields) {
    KILN_ASSIGN_OR_RETURN(std::optional<Condition> condition, time_condition(field, now));
    if (condition) {
      all.push_back(std::move(*condition));
    } else {
      plain += (plain.empty() ? "" : ",") + field;
    }
  }
  KILN_ASSIGN_OR_RETURN(Filter filter, Filter::parse(plain));
  all.push_back([filter = std::move(filter)](const Record& record) {
    return filter.matches([&](std::span<const std::string> path) -> std::optional<std::string> {
      if (path[0] == "ref") return record.ref;
      if (path[0] == "status") return status_of(record);
      if (path[0] == "repository") return repository_of(record);
      return std::nullopt;
    });
  });
  return Condition([all = std::move(all)](const Record& record) {
    return std::all_of(all.begin(), all.end(), [&](const Condition& c) { return c(record); });
  });
}

}  // namespace

Result<std::vector<Event>> select(std::vector<Event> events, const std::vector<std::string>& filters, int limit,
                                  Time now) {
  if (limit < 0) return user_error(Code::kInvalidArgument, fmt::format("invalid limit {}", limit));
  std::vector<Condition> any;
  for (const std::string& line : filters) {
    KILN_ASSIGN_OR_RETURN(Condition condition, parse_line(line, now));
    any.push_back(std::move(condition));
  }
  if (!any.empty()) {
    std::erase_if(events, [&](const Event& event) {
      return std::none_of(any.begin(), any.end(), [&](const Condition& c) { return c(event.record); });
    });
  }
  if (limit > 0) {
    std::stable_sort(events.begin(), events.end(),
                     [](const Event& a, const Event& b) { return a.record.created > b.record.created; });
    if (events.size() > static_cast<std::size_t>(limit)) events.resize(static_cast<std::size_t>(limit));
  }
  return events;
}

}  // namespace kiln::history
