#include "client/internal/build_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/id.h"
#include "base/text.h"
#include "client/view_pump.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

// Appends every update to --trace's file.
class TraceFile {
 public:
  static Result<std::shared_ptr<TraceFile>> open(const std::string& path) {
    auto out = std::make_shared<TraceFile>();
    if (path.empty()) return out;
    KILN_ASSIGN_OR_RETURN(out->file_, host::open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
    return out;
  }
  bool wanted() const { return file_.valid(); }
  void write(const ProgressUpdate& update) {
    if (file_.valid()) (void)host::write_all(file_.get(), progress_json(update) + "\n");
  }

 private:
  host::Fd file_;
};

// Counts how much of a build came from the cache, for --debug-json-cache-metrics.
class CacheMetrics {
 public:
  void add(const ProgressUpdate& update) {
    for (const event::Vertex& vertex : update.vertices) {
      Seen& seen = vertices_.try_emplace(vertex.digest, Seen{vertex.name}).first->second;
      auto bracket = vertex.name.find("] FROM");
      seen.from |= vertex.name.starts_with('[') && bracket != std::string::npos;
      seen.cached |= vertex.cached;
      seen.completed |= vertex.completed.has_value();
    }
  }

  // The misses, a line each, and the sums as JSON.
  std::string report(std::int64_t duration_ms) const {
    std::string out;
    int total = 0, completed = 0, user_total = 0, cached = 0, user_completed = 0, from = 0, miss = 0;
    for (const auto& [digest, seen] : vertices_) {
      ++total;
      completed += seen.completed;
      if (is_overhead(seen.name)) continue;
      ++user_total;
      cached += seen.cached;
      user_completed += seen.completed;
      from += seen.from;
      if (seen.cached || seen.from) continue;
      ++miss;
      out += fmt::format("cache miss: {}\n", seen.name);
    }
    nlohmann::ordered_json sums = {{"total", total},
                                   {"completed", completed},
                                   {"user_total", user_total},
                                   {"user_cached", cached},
                                   {"user_completed", user_completed},
                                   {"user_cacheable", user_total - from},
                                   {"from", from},
                                   {"miss", miss},
                                   {"client_duration_ms", duration_ms}};
    return out + sums.dump() + "\n";
  }

 private:
  struct Seen {
    std::string name;
    bool from = false, cached = false, completed = false;
  };
  static bool is_overhead(std::string_view name) {
    return name.starts_with("[internal]") || name.starts_with("[auth]") || name.starts_with("importing cache") ||
           name.starts_with("exporting ");
  }
  std::map<Digest, Seen> vertices_;
};

Status print_subrequest(const Attributes& metadata) {
  if (auto text = metadata.find("result.txt"); text != metadata.end()) return print(text->second);
  for (const auto& [key, value] : metadata) {
    if (key.starts_with("result.")) KILN_RETURN_IF_ERROR(print(fmt::format("{}\n{}\n", key, value)));
  }
  return ok();
}

// A lint or other answer may carry the exit status its asker should give.
Status subrequest_verdict(const Attributes& metadata) {
  auto code = metadata.find("result.statuscode");
  if (code == metadata.end() || trim(code->second).empty() || trim(code->second) == "0") return ok();
  return user_error(Code::kFailedPrecondition, "the check found faults");
}

Status write_results(const BuildFiles& files, const BuildOutcome& outcome) {
  if (!files.metadata.empty())
    KILN_RETURN_IF_ERROR(host::replace_file(files.metadata, metadata_json(outcome.response), 0666));
  auto digest = outcome.response.find("containerimage.digest");
  std::string image = digest == outcome.response.end() ? "" : digest->second;
  if (!files.image_id.empty()) KILN_RETURN_IF_ERROR(host::replace_file(files.image_id, image, 0666));
  if (files.print_digest && !image.empty()) KILN_RETURN_IF_ERROR(print(image + "\n"));
  return print_subrequest(outcome.subrequest);
}

bool is_metrics_file(std::string_view where) { return !where.empty() && where != "stdout" && where != "stderr"; }

Status write_metrics(const std::string& where, const std::string& report) {
  if (where == "stdout") return print(report);
  if (where == "stderr") return host::write_all(STDERR_FILENO, report);
  return host::write_file(where, report, 0600);
}

}  // namespace

Status build_and_report(const Invocation& call, BuildRequest request, const BuildFiles& files) {
  Time start = system_clock().now();
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, connect(call));
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<TraceFile> trace, TraceFile::open(files.trace));
  // A file that cannot be written is told before anything is built.
  if (is_metrics_file(files.cache_metrics)) KILN_RETURN_IF_ERROR(write_metrics(files.cache_metrics, ""));
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ProgressView> view, make_view(files.progress, STDERR_FILENO, call.environment));
  request.ref = new_id();
  auto metrics = std::make_shared<CacheMetrics>();
  std::optional<ViewPump> pump;
  if (view->looks()) pump.emplace(std::move(view), tick_of(call.environment));
  const bool counted = !files.cache_metrics.empty();
  BuildHooks hooks{.told = {}, .warned = [](const std::string& text) { warn(text); }, .environment = call.environment};
  if (pump || trace->wanted() || counted) {
    hooks.told = [&pump, trace, metrics, counted](ProgressUpdate update) {
      trace->write(update);
      if (counted) metrics->add(update);
      if (pump) pump->push(std::move(update));
    };
  }
  Result<BuildOutcome> outcome = run_build(*connection, request, hooks, call.stop);
  if (pump) pump->finish();
  if (!files.ref.empty()) KILN_RETURN_IF_ERROR(host::replace_file(files.ref, request.ref, 0666));
  KILN_RETURN_IF_ERROR(outcome.status());
  KILN_RETURN_IF_ERROR(write_results(files, *outcome));
  if (!files.cache_metrics.empty()) {
    auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(system_clock().now() - start);
    KILN_RETURN_IF_ERROR(write_metrics(files.cache_metrics, metrics->report(taken.count())));
  }
  return files.fail_on_findings ? subrequest_verdict(outcome->subrequest) : ok();
}

}  // namespace kiln::client
