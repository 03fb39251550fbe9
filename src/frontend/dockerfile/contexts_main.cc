// The main context and the build file.
#include <cstring>

#include <fmt/format.h>

#include "base/git_url.h"
#include "base/gopath.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/contexts.h"
#include "frontend/dockerfile/ignore_file.h"
#include "graph/build/file.h"
#include "graph/build/sources.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

constexpr const char* kIgnoreFile = ".dockerignore";
constexpr const char* kHttpFile = "context";
constexpr std::int64_t kSniffBytes = 1024;

gb::Constraints internal(const std::string& name) { return gb::Constraints().name("[internal] " + name); }

// A tar header's own checksum tells it from any other text.
bool is_tar(std::string_view head) {
  if (head.size() < 512) return false;
  long unsigned_sum = 0, signed_sum = 0;
  for (std::size_t i = 0; i < 512; ++i) {
    const bool in_field = i >= 148 && i < 156;
    unsigned_sum += in_field ? ' ' : static_cast<unsigned char>(head[i]);
    signed_sum += in_field ? ' ' : static_cast<signed char>(head[i]);
  }
  const long written = std::strtol(std::string(head.substr(148, 8)).c_str(), nullptr, 8);
  return head[0] != '\0' && (written == unsigned_sum || written == signed_sum);
}

bool is_archive(std::string_view head) {
  using namespace std::string_view_literals;
  return head.starts_with("BZh"sv) || head.starts_with("\x1F\x8B\x08"sv) || head.starts_with("\xFD\x37zXZ\0"sv) ||
         is_tar(head);
}

gb::State subdirectory(const gb::State& state, const std::string& dir) {
  gb::FileSteps steps;
  steps.copy(state, dir, "/", {.dir_contents_only = true});
  return gb::file(gb::scratch(), steps);
}

bool is_http(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

Result<std::string> read_from(const RefPtr& ref, const std::string& path, std::stop_token stop) {
  if (!ref) return user_error(Code::kNotFound, fmt::format("open {}: no such file or directory", path));
  return ref->read_file({.path = path}, stop);
}

}  // namespace

Result<RefPtr> solve_state(Bridge& bridge, const gb::State& state, bool evaluate, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto definition, gb::marshal(state));
  KILN_ASSIGN_OR_RETURN(auto solved, bridge.solve({.definition = std::move(definition), .evaluate = evaluate}, stop));
  return solved.ref;
}

std::optional<Result<gb::State>> git_context(const std::string& text, std::optional<bool> keep_git, bool commit_times) {
  auto parsed = parse_git_reference(text);
  if (!parsed) return std::nullopt;
  if (!parsed->ok()) return parsed->status();
  const GitReference& git = **parsed;
  gb::GitOptions options{.ref = git.ref, .subdir = git.subdir};
  options.keep_git_dir = git.keep_git_dir.value_or(false) || keep_git.value_or(false);
  options.checksum = git.checksum;
  options.skip_submodules = !git.submodules.value_or(true);
  options.mtime = !git.mtime.empty() ? git.mtime : commit_times ? "commit" : "";
  options.fetch_by_commit = git.fetch_by_commit;
  return gb::git(git.remote, options, internal("load git source " + text));
}

Result<const Contexts::Main*> Contexts::main_context(std::stop_token stop) {
  std::lock_guard lock(mutex_);
  if (!main_) main_ = find_main(stop);
  if (!main_->ok()) return main_->status();
  return &**main_;
}

Result<Contexts::Main> Contexts::find_main(std::stop_token stop) {
  Main main;
  const std::string key = request_.has("contextkey") ? request_.opt("contextkey") : "context";
  if (request_.has("filename")) main.filename = request_.opt("filename");
  if (request_.has("dockerfilekey")) {
    main.local_dockerfile = true;
    main.dockerfile_local = request_.opt("dockerfilekey");
  }
  const std::string& where = request_.opt(key);
  auto git = git_context(where, parse_bool(request_.opt("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR")),
                         !request_.opt("build-arg:SOURCE_DATE_EPOCH").empty());
  if (git) {
    KILN_ASSIGN_OR_RETURN(main.context, *git);
    main.dockerfile = main.context;
  } else if (is_http(where)) {
    KILN_RETURN_IF_ERROR(use_http(main, where, stop));
  } else if (bridge_.options().caps.supports(graph::kCapFrontendInputs)) {
    KILN_RETURN_IF_ERROR(use_inputs(main, stop));
  }
  if (main.context && request_.has("contextsubdir")) {
    main.context = subdirectory(*main.context, request_.opt("contextsubdir"));
  }
  return main;
}

Status Contexts::use_http(Main& main, const std::string& url, std::stop_token stop) {
  gb::State download = gb::http(url, {.filename = kHttpFile}, internal("load remote build context"));
  auto ref = solve_state(bridge_, download, false, stop);
  if (!ref.ok()) return annotate(ref.status(), "failed to resolve httpcontext");
  if (!*ref) return peer_error(Code::kNotFound, "failed to resolve httpcontext: it is empty");
  auto head = (*ref)->read_file({.path = kHttpFile, .range = FileRange{.offset = 0, .length = kSniffBytes}}, stop);
  if (!head.ok()) return annotate(head.status(), "failed to read downloaded context");
  if (is_archive(*head)) {
    gb::FileSteps steps;
    steps.copy(download, join_path("/", kHttpFile), "/", {.attempt_unpack = true});
    main.context = gb::file(gb::scratch(), steps);
  } else {
    main.filename = kHttpFile;
    main.context = download;
  }
  main.dockerfile = main.context;
  return ok();
}

Status Contexts::use_inputs(Main& main, std::stop_token stop) {
  auto inputs = bridge_.inputs(stop);
  if (!inputs.ok()) return annotate(inputs.status(), "failed to get frontend inputs");
  if (!main.local_dockerfile) {
    if (auto it = inputs->find(main.dockerfile_local); it != inputs->end()) {
      KILN_ASSIGN_OR_RETURN(main.dockerfile, input_state(it->second));
    }
  }
  if (auto it = inputs->find("context"); it != inputs->end()) {
    KILN_ASSIGN_OR_RETURN(main.context, input_state(it->second));
  }
  return ok();
}

gb::State Contexts::dockerfile_source(const Main& main) {
  if (main.dockerfile && !main.local_dockerfile) return *main.dockerfile;
  gb::LocalOptions options{.session_id = request_.session_of(main.dockerfile_local),
                           .follow_paths = {main.filename, main.filename + kIgnoreFile},
                           .shared_key_hint = main.dockerfile_local,
                           .differ = "none"};
  if (base_name(main.filename) == "Dockerfile") {
    options.follow_paths.push_back(join_path(dir_name(main.filename), "dockerfile"));
  }
  return gb::local(main.dockerfile_local, options, internal("load build definition from " + main.filename));
}

Result<std::string> Contexts::read_dockerfile(const Main& main, Ref& ref, std::stop_token stop) {
  auto text = ref.read_file({.path = main.filename}, stop);
  if (text.ok() || is_cancelled(text.status())) return text;
  if (base_name(main.filename) == "Dockerfile") {
    auto lower = ref.read_file({.path = join_path(dir_name(main.filename), "dockerfile")}, stop);
    if (lower.ok()) return lower;
  }
  return annotate(text.status(), "failed to read dockerfile");
}

Result<BuildFile> Contexts::build_file(std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(const Main* main, main_context(stop));
  auto definition = gb::marshal(dockerfile_source(*main));
  if (!definition.ok()) return annotate(definition.status(), "failed to marshal local source");
  BuildFile out;
  if (auto top = graph::head(*definition)) out.vertex = Digest::trusted(top->digest);
  auto solved = bridge_.solve({.definition = *definition}, stop);
  if (!solved.ok()) return annotate(solved.status(), "failed to resolve dockerfile");
  if (!solved->ref) {
    return user_error(Code::kNotFound,
                      fmt::format("failed to read dockerfile: open {}: no such file or directory", main->filename));
  }
  KILN_ASSIGN_OR_RETURN(std::string text, read_dockerfile(*main, *solved->ref, stop));
  out.text = std::make_shared<const graph::SourceInfo>(
      graph::SourceInfo{main->filename, std::move(text), "Dockerfile", graph::encode_definition(*definition)});
  auto ignore = read_from(solved->ref, main->filename + kIgnoreFile, stop);
  if (ignore.ok()) {
    std::lock_guard lock(mutex_);
    ignore_text_ = *std::move(ignore);
    ignore_name_ = main->filename + kIgnoreFile;
  }
  return out;
}

Result<gb::State> Contexts::main(const std::vector<std::string>& follow_paths, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(const Main* main, main_context(stop));
  if (main->context) return *main->context;
  auto excludes = ignore_patterns(*main, stop);
  if (!excludes.ok()) return annotate(excludes.status(), "failed to read dockerignore patterns");
  return gb::local(main->context_local,
                   {.session_id = request_.session_of(main->context_local),
                    .exclude_patterns = *excludes,
                    .follow_paths = follow_paths,
                    .shared_key_hint = main->context_local},
                   internal("load build context"));
}

Result<std::vector<std::string>> Contexts::ignore_patterns(std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(const Main* main, main_context(stop));
  if (main->context) return std::vector<std::string>{};
  return ignore_patterns(*main, stop);
}

Result<std::vector<std::string>> Contexts::ignore_patterns(const Main& main, std::stop_token stop) {
  std::lock_guard lock(mutex_);
  if (!ignore_text_) {
    gb::State source = gb::local(main.context_local,
                                 {.session_id = request_.session_of(main.context_local),
                                  .follow_paths = {kIgnoreFile},
                                  .shared_key_hint = main.context_local + "-" + kIgnoreFile,
                                  .differ = "none"},
                                 internal(std::string("load ") + kIgnoreFile));
    KILN_ASSIGN_OR_RETURN(RefPtr ref, solve_state(bridge_, source, false, stop));
    auto text = read_from(ref, kIgnoreFile, stop);
    if (!text.ok() && is_cancelled(text.status())) return text.status();
    ignore_text_ = text.ok() ? *text : "";  // no such file is as good as an empty one
    ignore_name_ = kIgnoreFile;
  }
  auto patterns = parse_ignore_file(*ignore_text_);
  if (!patterns.ok()) return annotate(patterns.status(), "failed parsing " + ignore_name_);
  return patterns;
}

}  // namespace kiln::frontend::dockerfile
