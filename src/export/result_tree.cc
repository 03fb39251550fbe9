#include "export/internal/result_tree.h"

#include <fmt/format.h>

#include "base/gopath.h"
#include "base/text.h"
#include "export/internal/attestation.h"
#include "export/internal/text_files.h"
#include "host/fs.h"

namespace kiln::exporter::internal {
namespace {

std::int64_t nanoseconds_of(Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::string folder_name(const std::string& platform_id) { return replace_all(platform_id, "/", "_"); }

// The digest of every regular file: what attestations of plain files are about.
Result<std::vector<Subject>> file_subjects(session::FileTree& files, std::stop_token stop) {
  std::vector<Subject> subjects;
  std::string buffer(256 * 1024, '\0');
  KILN_RETURN_IF_ERROR(files.walk(
      [&](session::FileStat& stat) -> Status {
        if (!stat.is_file()) return ok();
        KILN_ASSIGN_OR_RETURN(host::Fd fd, files.open(stat.path));
        Hasher hasher;
        while (true) {
          KILN_ASSIGN_OR_RETURN(std::size_t n, host::read_some(fd.get(), buffer));
          if (n == 0) break;
          hasher.update({buffer.data(), n});
        }
        subjects.push_back({stat.path, {hasher.finish()}});
        return ok();
      },
      stop));
  return subjects;
}

std::string with_platform(const std::string& name, const std::string& platform_id) {
  auto dot = name.rfind('.');
  if (dot == std::string::npos) dot = name.size();
  return fmt::format("{}.{}{}", name.substr(0, dot), folder_name(platform_id), name.substr(dot));
}

Result<std::shared_ptr<session::FileTree>> with_attestations(std::shared_ptr<session::FileTree> files,
                                                             std::vector<Attestation> attestations,
                                                             const std::string& name_suffix, Time mtime,
                                                             const TreeOptions& options, store::Trees& trees,
                                                             std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(attestations, unbundle(without_inline_only(attestations), trees, stop));
  if (attestations.empty()) return files;
  KILN_ASSIGN_OR_RETURN(auto subjects, file_subjects(*files, stop));
  KILN_ASSIGN_OR_RETURN(auto statements, make_statements(attestations, subjects, trees, stop));
  auto texts = std::make_shared<TextFiles>();
  for (const auto& statement : statements) {
    auto slash = statement.path.rfind('/');
    std::string name = options.attestation_prefix + statement.path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (!name_suffix.empty()) name = with_platform(name, name_suffix);
    session::FileStat stat;
    stat.path = name;
    stat.mode = 0600;
    stat.modified_ns = nanoseconds_of(mtime);
    if (!texts->add(stat, to_json(statement, content::JsonLayout::kIndented))) {
      return user_error(Code::kInvalidArgument, fmt::format("duplicate attestation path name {}", name));
    }
  }
  return merged_files({std::move(files), std::move(texts)});
}

Result<std::shared_ptr<session::FileTree>> plain_files(const store::TreeRef& tree, std::optional<Time> epoch,
                                                       store::Trees& trees, std::stop_token stop,
                                                       std::shared_ptr<store::OpenTree>& held) {
  if (!tree) return std::shared_ptr<session::FileTree>(std::make_shared<TextFiles>());
  KILN_ASSIGN_OR_RETURN(auto open, trees.open(tree, stop));
  held = std::make_shared<store::OpenTree>(std::move(open));
  session::DirTree::Map map;
  if (epoch) {
    map = [ns = nanoseconds_of(*epoch)](session::FileStat& stat) {
      stat.modified_ns = ns;
      return true;
    };
  }
  KILN_ASSIGN_OR_RETURN(auto files, session::DirTree::at(held->path(), {}, std::move(map)));
  return std::shared_ptr<session::FileTree>(std::move(files));
}

}  // namespace

Result<TreeOptions> TreeOptions::take(Attrs& attrs) {
  TreeOptions options;
  KILN_ASSIGN_OR_RETURN(options.epoch, take_epoch(attrs));
  if (auto node = attrs.extract("attestation-prefix"); !node.empty()) options.attestation_prefix = node.mapped();
  if (auto node = attrs.extract("platform-split"); !node.empty()) {
    auto split = parse_bool(node.mapped());
    if (!split) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("non-bool value for platform-split: {}: strconv.ParseBool: parsing \"{}\": invalid "
                                    "syntax",
                                    node.mapped(), node.mapped()));
    }
    options.platform_split = *split;
  }
  if (auto node = attrs.extract("mode"); !node.empty()) {
    std::string mode = to_lower(trim(node.mapped()));
    if (!mode.empty() && mode != "copy" && mode != "delete") {
      return user_error(Code::kInvalidArgument, fmt::format("invalid local exporter mode \"{}\"", node.mapped()));
    }
    options.delete_others = mode == "delete";
  }
  return options;
}

Result<std::vector<PlatformFiles>> files_of(const BuildResult& result, const TreeOptions& options,
                                            const ExportPorts& ports, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto platforms, platforms_of(result));
  KILN_RETURN_IF_ERROR(check_platforms(result, platforms));
  Time now = std::chrono::time_point_cast<std::chrono::seconds>(system_clock().now());
  bool suffixes = result.is_map() && !options.splits(true);
  std::vector<PlatformFiles> out;
  for (const auto& p : platforms) {
    KILN_ASSIGN_OR_RETURN(auto tree, tree_for(result, p.id));
    KILN_ASSIGN_OR_RETURN(auto epoch, epoch_for(options.epoch, result.metadata, p.id));
    PlatformFiles files;
    files.id = p.id;
    files.folder.path = folder_name(p.id);
    files.folder.mode = session::kModeDir | 0755;
    if (epoch) files.folder.modified_ns = nanoseconds_of(*epoch);
    KILN_ASSIGN_OR_RETURN(files.files, plain_files(tree, epoch, *ports.trees, stop, files.held));
    KILN_ASSIGN_OR_RETURN(files.files,
                          with_attestations(files.files, attestations_for(result, p.id), suffixes ? p.id : "",
                                            epoch.value_or(now), options, *ports.trees, stop));
    out.push_back(std::move(files));
  }
  return out;
}

}  // namespace kiln::exporter::internal
