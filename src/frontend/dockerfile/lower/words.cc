#include "frontend/dockerfile/lower/words.h"

#include <fmt/format.h>

#include "base/text.h"
#include "frontend/dockerfile/lint.h"

namespace kiln::frontend::dockerfile {

Status with_suffix(const Status& status, std::string_view suffix) {
  if (suffix.empty() || status.ok()) return status;
  const std::string text = std::string(message_of(status)) + std::string(suffix);
  Status out(status.code(), absl::string_view(text.data(), text.size()));
  status.ForEachPayload([&out](absl::string_view type, const absl::Cord& bytes) { out.SetPayload(type, bytes); });
  return out;
}

Status with_suggestion(const Status& status, const std::set<std::string, std::less<>>& names,
                       const std::vector<std::string>& options) {
  for (const auto& name : names) {
    const std::string suffix = suggestion_suffix(name, options, MatchCase::kSensitive);
    if (!suffix.empty()) return with_suffix(status, suffix);
  }
  return status;
}

bool is_context_name(std::string_view name) {
  return !equals_ignore_case(name, "scratch") && !equals_ignore_case(name, "context");
}

std::vector<std::string> common_images() {
  std::vector<std::string> out;
  for (const char* name : {"alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"}) {
    const std::string plain(name);
    out.insert(out.end(),
               {plain, "docker.io/library" + plain, plain + ":latest", "docker.io/library" + plain + ":latest"});
  }
  return out;
}

namespace {

// A stage on the path of the search and the needs it has still to look at.
struct Visit {
  StageState* stage;
  std::map<StageState*, Ranges>::const_iterator next;
};

Status cycle_error(const std::vector<Visit>& path, const std::string& name) {
  auto status = user_error(Code::kInvalidArgument, "circular dependency detected on stage: " + name);
  // `next` of each stage stands just behind the need that the path took.
  for (const auto& visit : path) status = with_ranges(status, std::prev(visit.next)->second);
  return status;
}

}  // namespace

Status check_cycles(const std::vector<StageState*>& stages) {
  std::set<StageState*> visited, on_path;
  for (StageState* start : stages) {
    if (!visited.insert(start).second) continue;
    std::vector<Visit> path{{start, start->needs.begin()}};
    on_path.insert(start);
    while (!path.empty()) {
      Visit& top = path.back();
      if (top.next == top.stage->needs.end()) {
        on_path.erase(top.stage);
        path.pop_back();
        continue;
      }
      StageState* source = (top.next++)->first;
      if (on_path.contains(source)) return cycle_error(path, start->name);
      if (!visited.insert(source).second) continue;
      on_path.insert(source);
      path.push_back({source, source->needs.begin()});
    }
  }
  return ok();
}

}  // namespace kiln::frontend::dockerfile
