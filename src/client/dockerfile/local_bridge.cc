#include "client/dockerfile/local_bridge.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/gopath.h"
#include "content/json_text.h"
#include "graph/definition.h"
#include "host/fs.h"

namespace kiln::client {
namespace {

constexpr std::string_view kLocal = "local://";
constexpr std::size_t kFileMax = 64 << 20;

Status needs_daemon(std::string_view what) {
  return user_error(Code::kFailedPrecondition,
                    fmt::format("{} cannot be read without a daemon; use a local directory", what));
}

// A directory of this machine, confined: links do not lead out of it.
class DirRef final : public frontend::Ref {
 public:
  DirRef(std::string dir, std::string file, std::optional<std::string> text)
      : dir_(std::move(dir)), file_(std::move(file)), text_(std::move(text)) {}

  Status evaluate(std::stop_token) override { return ok(); }

  Result<std::string> read_file(const frontend::ReadRequest& request, std::stop_token) override {
    if (text_ && clean_path(request.path) == clean_path(file_)) return *text_;
    KILN_ASSIGN_OR_RETURN(host::Fd root, host::open_file(dir_, O_PATH | O_DIRECTORY));
    auto file = host::open_in_root(root.get(), request.path, O_RDONLY);
    if (!file.ok()) {
      return make_error(
          fault_of(file.status()), file.status().code(),
          fmt::format("open {}: {}", request.path,
                      is_not_found(file.status()) ? "no such file or directory" : message_of(file.status())));
    }
    return host::read_to_end(file->get(), kFileMax);
  }

  Result<std::vector<frontend::FileStat>> read_dir(const std::string&, const std::string&, std::stop_token) override {
    return needs_daemon("a list of files");
  }
  Result<frontend::FileStat> stat_file(const std::string& path, std::stop_token) override { return needs_daemon(path); }
  Result<graph::Definition> definition() override { return graph::Definition{}; }

 private:
  std::string dir_;
  std::string file_;
  std::optional<std::string> text_;
};

// The local directory that a definition is; nothing when it is anything else.
Result<std::optional<std::string>> local_name(const graph::Definition& definition) {
  std::optional<std::string> name;
  for (const auto& bytes : definition.ops) {
    KILN_ASSIGN_OR_RETURN(graph::Op op, graph::decode_op(bytes));
    if (op.is_sink()) continue;
    const auto* source = std::get_if<graph::SourceOp>(&op.kind);
    if (name || source == nullptr || !source->identifier.starts_with(kLocal)) return std::optional<std::string>();
    name = source->identifier.substr(kLocal.size());
  }
  return name;
}

}  // namespace

LocalBridge::LocalBridge(LocalBridgeOptions options) : given_(std::move(options)) {
  build_options_.opts = given_.opts;
  build_options_.session_id = "local";
  build_options_.product = "kiln";
  frontend::WorkerInfo worker{.id = "local"};
  worker.platforms = {Platform::host().normalized()};
  build_options_.workers = {worker};
  build_options_.llb_caps = graph::CapSet(graph::llb_caps());
  build_options_.caps = graph::CapSet(graph::gateway_caps());
}

Result<std::map<std::string, graph::Definition>> LocalBridge::inputs(std::stop_token) {
  return std::map<std::string, graph::Definition>{};
}

Result<frontend::SolveResult> LocalBridge::solve(const frontend::SolveRequest& request, std::stop_token) {
  frontend::SolveResult out;
  if (!request.frontend.empty()) {
    const auto image = request.frontend_opts.find("source");
    return needs_daemon(image == request.frontend_opts.end() ? "frontend " + request.frontend
                                                             : fmt::format("the frontend '{}'", image->second));
  }
  if (!request.definition || request.definition->empty()) return out;
  KILN_ASSIGN_OR_RETURN(auto name, local_name(*request.definition));
  if (!name) return needs_daemon("a remote context");
  auto dir = given_.dirs.find(*name);
  if (dir == given_.dirs.end()) {
    return user_error(Code::kNotFound, fmt::format("there is no local directory named '{}'", *name));
  }
  auto file = given_.opts.find("filename");
  const bool is_dockerfile = *name == "dockerfile";
  out.ref = std::make_shared<DirRef>(dir->second, file == given_.opts.end() ? "Dockerfile" : file->second,
                                     is_dockerfile ? given_.build_file : std::nullopt);
  return out;
}

Result<frontend::ImageConfig> LocalBridge::resolve_image_config(const std::string& ref,
                                                                const frontend::ResolveOptions& options,
                                                                std::stop_token stop) {
  const Platform platform = options.platform.value_or(Platform::host().normalized());
  if (given_.look_up) return given_.look_up(ref, platform, std::move(stop));
  {
    std::lock_guard lock(mutex_);
    images_.insert(ref);
  }
  content::JsonWriter json;
  json.begin_object();
  json.key("architecture");
  json.string(platform.architecture);
  json.string_if("variant", platform.variant);
  json.key("os");
  json.string(platform.os);
  json.key("config");
  json.begin_object();
  json.end_object();
  // One layer's history: an image of no layers would stand for the empty tree.
  json.key("history");
  json.begin_array();
  json.begin_object();
  json.end_object();
  json.end_array();
  json.end_object();
  return frontend::ImageConfig{ref, {}, json.take()};
}

Result<frontend::SourceMeta> LocalBridge::resolve_source(const graph::SourceOp& source, const std::optional<Platform>&,
                                                         const frontend::ResolveOptions&, std::stop_token) {
  return needs_daemon(source.identifier);
}

Status LocalBridge::warn(const frontend::Warning&) { return ok(); }

std::set<std::string> LocalBridge::images() const {
  std::lock_guard lock(mutex_);
  return images_;
}

}  // namespace kiln::client
