// The exporters "local" and "tar": a result's files into a directory of the client, or to it as one
// tar stream (EX-038 to EX-042).
#include <fmt/format.h>

#include <map>

#include "base/parallel.h"
#include "export/internal/exporters.h"
#include "export/internal/files_tar.h"
#include "export/internal/result_tree.h"
#include "session/export_target.h"

namespace kiln::exporter::internal {
namespace {

class FinishedFiles final : public PendingExport {
 public:
  Status finish(ExportContext&) override { return ok(); }
  bool has_left() const override { return true; }
  const Attrs& response() const override { return response_; }

 private:
  Attrs response_;
};

// A transfer as clients show it: bytes moved under the name of the platform.
class TransferPhase {
 public:
  TransferPhase(event::Reporter& reporter, std::string id) : reporter_(reporter) {
    status_.id = std::move(id);
    status_.name = "transferring";
    status_.started = status_.timestamp = system_clock().now();
    reporter_.status(status_);
  }
  ~TransferPhase() {
    status_.completed = status_.timestamp = system_clock().now();
    reporter_.status(status_);
  }
  void advance_to(std::int64_t bytes) {
    status_.current = bytes;
    Time now = system_clock().now();
    if (now - status_.timestamp < std::chrono::milliseconds(100)) return;
    status_.timestamp = now;
    reporter_.status(status_);
  }

 private:
  event::Reporter& reporter_;
  event::VertexStatus status_;
};

Result<std::shared_ptr<session::FileTree>> in_folders(std::vector<PlatformFiles>& platforms) {
  std::vector<std::pair<session::FileStat, std::shared_ptr<session::FileTree>>> folders;
  for (auto& p : platforms) folders.emplace_back(p.folder, p.files);
  KILN_ASSIGN_OR_RETURN(auto tree, session::SubdirTrees::make(std::move(folders)));
  return std::shared_ptr<session::FileTree>(std::move(tree));
}

// Without folders of their own, no two platforms may have the same file.
Status check_no_overlap(const std::vector<PlatformFiles>& platforms, std::stop_token stop) {
  std::map<std::string, std::string> seen;
  for (const auto& p : platforms) {
    KILN_RETURN_IF_ERROR(p.files->walk(
        [&](session::FileStat& stat) -> Status {
          if (stat.is_dir()) return ok();
          auto [it, fresh] = seen.try_emplace(stat.path, p.id);
          if (fresh) return ok();
          return user_error(Code::kInvalidArgument,
                            fmt::format("cannot overwrite {} from {} with {} when split option is disabled", stat.path,
                                        it->second, p.id));
        },
        stop));
  }
  return ok();
}

class LocalExporter final : public Exporter {
 public:
  LocalExporter(TreeOptions options, const ExportPorts& ports) : options_(std::move(options)), ports_(ports) {}
  std::string type() const override { return "local"; }
  std::string vertex_name() const override { return "exporting to client directory"; }

  Result<std::unique_ptr<PendingExport>> run(const BuildResult& result, ExportContext& context) override {
    KILN_ASSIGN_OR_RETURN(auto platforms, files_of(result, options_, ports_, context.stop));
    bool split = options_.splits(result.is_map());
    if (!split && platforms.size() > 1) KILN_RETURN_IF_ERROR(check_no_overlap(platforms, context.stop));
    KILN_RETURN_IF_ERROR(options_.delete_others ? send_as_one(platforms, split, context)
                                                : send_each(platforms, split, context));
    return std::unique_ptr<PendingExport>(new FinishedFiles);
  }

 private:
  // The client removes what it is not told, so it must be told everything in one transfer.
  Status send_as_one(std::vector<PlatformFiles>& platforms, bool split, ExportContext& context) {
    std::shared_ptr<session::FileTree> tree;
    if (split) {
      KILN_ASSIGN_OR_RETURN(tree, in_folders(platforms));
    } else {
      std::vector<std::shared_ptr<session::FileTree>> trees;
      for (auto& p : platforms) trees.push_back(p.files);
      tree = merged_files(std::move(trees));
    }
    return send(*tree, "copying files", true, context);
  }

  Status send_each(std::vector<PlatformFiles>& platforms, bool split, ExportContext& context) {
    std::vector<std::function<Status()>> jobs;
    for (auto& p : platforms) {
      jobs.push_back([&, this]() -> Status {
        if (!split) return send(*p.files, "copying files", false, context);
        std::vector<PlatformFiles> one = {p};
        KILN_ASSIGN_OR_RETURN(auto tree, in_folders(one));
        return send(*tree, "copying files " + p.id, false, context);
      });
    }
    return run_parallel(ports_.pool, std::move(jobs));
  }

  Status send(session::FileTree& tree, std::string label, bool whole, ExportContext& context) {
    TransferPhase phase(context.reporter, std::move(label));
    session::TreeExport transfer;
    transfer.exporter_id = context.index;
    transfer.multi_platform_transfer = whole;
    transfer.progress = [&](std::int64_t bytes) { phase.advance_to(bytes); };
    session::ExportTarget target(context.sessions, context.session_id);
    return target.send_tree(tree, transfer, context.stop);
  }

  TreeOptions options_;
  ExportPorts ports_;
};

class TarExporter final : public Exporter {
 public:
  TarExporter(TreeOptions options, const ExportPorts& ports) : options_(std::move(options)), ports_(ports) {}
  std::string type() const override { return "tar"; }
  std::string vertex_name() const override { return "exporting to client tarball"; }

  Result<std::unique_ptr<PendingExport>> run(const BuildResult& result, ExportContext& context) override {
    KILN_ASSIGN_OR_RETURN(auto platforms, files_of(result, options_, ports_, context.stop));
    std::shared_ptr<session::FileTree> tree = platforms.front().files;
    if (options_.splits(result.is_map())) {
      KILN_ASSIGN_OR_RETURN(tree, in_folders(platforms));
    } else if (platforms.size() > 1) {
      KILN_RETURN_IF_ERROR(check_no_overlap(platforms, context.stop));
      std::vector<std::shared_ptr<session::FileTree>> trees;
      for (auto& p : platforms) trees.push_back(p.files);
      tree = merged_files(std::move(trees));
    }
    session::ExportTarget target(context.sessions, context.session_id);
    KILN_ASSIGN_OR_RETURN(auto sink, target.open_file(context.index, {}, context.stop));
    event::Phase phase(context.reporter, "sending tarball");
    KILN_RETURN_IF_ERROR(write_files_tar(*tree, *sink, context.stop));
    KILN_RETURN_IF_ERROR(sink->close());
    return std::unique_ptr<PendingExport>(new FinishedFiles);
  }

 private:
  TreeOptions options_;
  ExportPorts ports_;
};

}  // namespace

Result<std::unique_ptr<Exporter>> make_local_exporter(Attrs attrs, const ExportPorts& ports) {
  KILN_ASSIGN_OR_RETURN(TreeOptions options, TreeOptions::take(attrs));
  return std::unique_ptr<Exporter>(new LocalExporter(std::move(options), ports));
}

Result<std::unique_ptr<Exporter>> make_tar_exporter(Attrs attrs, const ExportPorts& ports) {
  KILN_ASSIGN_OR_RETURN(TreeOptions options, TreeOptions::take(attrs));
  return std::unique_ptr<Exporter>(new TarExporter(std::move(options), ports));
}

}  // namespace kiln::exporter::internal
