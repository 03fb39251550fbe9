#include "frontend/dockerfile/lower/copy_files.h"

#include <fmt/format.h>

#include "base/gopath.h"
#include "base/id.h"
#include "frontend/dockerfile/image_path.h"
#include "frontend/dockerfile/lower/file_mode.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/remote_add.h"
#include "frontend/dockerfile/places.h"
#include "graph/build/file.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

bool has_wildcards(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') {
      ++i;
    } else if (path[i] == '*' || path[i] == '?' || path[i] == '[') {
      return true;
    }
  }
  return false;
}

Status check_flags(const CopyFiles& copy) {
  if (copy.checksum.empty()) return ok();
  if (copy.verb == Verb::kCopy) return word_fault("--checksum", "checksum can't be specified for COPY");
  if (copy.paths.sources.size() != 1)
    return word_fault("--checksum", "checksum can't be specified for multiple sources");
  const auto& source = copy.paths.sources.front();
  if (!is_http_source(source) && !is_git_source(source))
    return word_fault(source, "checksum requires HTTP(S) or Git sources");
  return ok();
}

// Whether patterns that ignore everything are among the ignore patterns.
bool ignores_root(const PatternMatcher& ignored) {
  for (const auto& pattern : ignored.patterns()) {
    if (!pattern.exclusion && (pattern.text == "*" || pattern.text == "**" || pattern.text == "**/*")) return true;
  }
  return false;
}

// A source that the ignore file keeps away will not be found. With exclusions among the patterns
// that cannot be told beforehand.
void check_ignored(StepContext& at, const CopyFiles& copy, std::string_view source) {
  const auto& ignored = at.lowering.ignored();
  if (!copy.from_context || !ignored || ignored->has_exclusions()) return;
  const std::string path = clean_path(source);
  if ((path == "." || path == "/") && !ignores_root(*ignored)) return;
  if (!ignored->matches_or_parent(path)) return;
  at.lint.report(lint_rules::kCopyIgnoredFile, at.ranges(),
                 lint_text::copy_ignored_file(copy.verb == Verb::kAdd ? "Add" : "Copy", path));
}

// One ADD or COPY on its way into file actions.
class Assembly {
 public:
  Assembly(StepContext& at, const CopyFiles& copy, std::string name)
      : at_(at), copy_(copy), name_(std::move(name)), os_(at.stage.platform->os) {}

  Status assemble() {
    KILN_RETURN_IF_ERROR(set_dest());
    if (!copy_.chmod.empty()) {
      auto mode = parse_file_mode(copy_.chmod);
      if (!mode.ok()) return with_word(mode.status(), copy_.chmod);
      mode_ = *mode;
    }
    KILN_RETURN_IF_ERROR(check_flags(copy_));
    for (const auto& source : copy_.paths.sources) KILN_RETURN_IF_ERROR(add_source(source));
    for (const auto& file : copy_.paths.inline_files) KILN_RETURN_IF_ERROR(add_inline(file));
    return ok();
  }

  const gb::FileSteps& steps() const { return steps_; }

 private:
  Status set_dest() {
    auto bare = without_drive(copy_.paths.dest, os_, Slash::kKeep);
    if (!bare.ok()) return annotate(bare.status(), "removing drive letter");
    const bool absolute = is_image_absolute(*bare, os_);
    std::string dest = *bare == "." || bare->empty() ? "./" : *bare;
    KILN_ASSIGN_OR_RETURN(dest_, image_path(absolute ? "/" : at_.stage.state.settings().dir, dest, os_, Slash::kKeep));
    return ok();
  }

  gb::CopySpec spec() const {
    gb::CopySpec out{.exclude_patterns = copy_.excludes, .create_dest_path = true};
    if (mode_) {
      out.mode = mode_->octal;
      out.mode_text = mode_->text;
    }
    if (!copy_.chown.empty()) out.owner = gb::Owner::parse(copy_.chown);
    return out;
  }

  Status add_source(const std::string& source) {
    gb::Constraints constraints = gb::Constraints().name(name_);
    const bool http = is_http_source(source);
    if (http) constraints.describe("com.docker.dockerfile.v1.command", "");
    auto remote = remote_state({source, copy_.checksum, copy_.keep_git_dir}, constraints);
    if (!remote) return add_local(source);
    if (!remote->ok()) return with_word(remote->status(), source);
    if (copy_.verb == Verb::kCopy) {
      return word_fault(source, http ? "source can't be a URL for COPY" : "source can't be a git ref for COPY");
    }
    gb::CopySpec how = spec();
    how.attempt_unpack = http && copy_.unpack.value_or(false);
    steps_.copy(**remote, http ? http_filename(source) : "/", dest_, how);
    return ok();
  }

  Status add_local(std::string source) {
    check_ignored(at_, copy_, source);
    gb::CopySpec how = spec();
    how.follow_symlinks = true;
    how.dir_contents_only = true;
    how.allow_wildcard = true;
    how.allow_empty_wildcard = true;
    how.attempt_unpack = copy_.unpack.value_or(copy_.verb == Verb::kAdd);
    if (copy_.parents) KILN_RETURN_IF_ERROR(keep_parents(source, how));
    KILN_ASSIGN_OR_RETURN(source, image_path("/", source, os_, Slash::kDrop));
    steps_.copy(copy_.from, source, dest_, how);
    return ok();
  }

  // --parents: the path behind "/./" (or all of it) becomes a pattern below the rest. A literal path
  // must exist.
  Status keep_parents(std::string& source, gb::CopySpec& how) const {
    std::string pattern = source;
    if (auto pivot = source.find("/./"); pivot != std::string::npos) {
      pattern = source.substr(pivot + 3);
      source = source.substr(0, pivot);
    } else {
      source = "/";
    }
    KILN_ASSIGN_OR_RETURN(pattern, image_path("/", pattern, os_, Slash::kDrop));
    how.include_patterns = {pattern.starts_with('/') ? pattern.substr(1) : pattern};
    if (has_wildcards(source) || has_wildcards(pattern)) return ok();
    KILN_ASSIGN_OR_RETURN(std::string required, image_path("/", join_path(source, pattern), os_, Slash::kDrop));
    how.required_paths = {std::move(required)};
    return ok();
  }

  Status add_inline(const InlineFile& file) {
    auto path = without_drive(file.path, os_, Slash::kDrop);
    if (!path.ok()) return annotate(path.status(), "removing drive letter");
    gb::FileSteps write;
    write.mkfile(*path, 0644, file.data);
    gb::State tree = gb::file(gb::scratch(), write,
                              gb::Constraints().name("[internal] preparing inline document").on(*at_.stage.platform));
    steps_.copy(tree, to_slashes(*path, os_), dest_, spec());
    return ok();
  }

  StepContext& at_;
  const CopyFiles& copy_;
  std::string name_;
  std::string os_;
  std::string dest_;
  std::optional<FileMode> mode_;
  gb::FileSteps steps_;
};

std::string history_of(const CopyFiles& copy) {
  std::string out = copy.verb == Verb::kAdd ? "ADD" : "COPY";
  if (copy.parents) out += " --parents";
  if (!copy.chown.empty()) out += " --chown=" + copy.chown;
  if (!copy.chmod.empty()) out += " --chmod=" + copy.chmod;
  for (const auto& source : copy.paths.sources) out += " " + source;
  for (const auto& file : copy.paths.inline_files) out += " <<" + file.path;
  return out + " " + copy.paths.dest;
}

// The copy stands on nothing and is merged in, so that it survives a change of what is below it.
void link_files(StepContext& at, const gb::FileSteps& steps, const gb::Constraints& constraints,
                const std::string& command) {
  StageState& stage = at.stage;
  const auto& env = stage.state.settings().env;
  const bool show = at.lowering.request().multi_platform;
  const std::string group = new_id();
  --stage.step_index;  // the names of the group count as one step
  const std::string group_name = prefixed_name(stage, command, show, stage.platform, env);
  gb::Constraints copied = constraints;
  copied.on(*stage.platform).group(group, group_name, true);
  --stage.step_index;
  gb::Constraints merged = constraints;
  merged.group(group, group_name, false).name(prefixed_name(stage, "LINK " + command, show, stage.platform, env));
  gb::State files = gb::file(gb::scratch(), steps, copied);
  stage.state = stage.state.with_output(gb::merge({stage.state, files}, merged).output());
}

}  // namespace

Status copy_files(StepContext& at, const CopyFiles& copy) {
  StageState& stage = at.stage;
  const auto& env = stage.state.settings().env;
  const std::string command = shown_command(at.lowering.lexer(), at.instruction().code, StateEnvironment(env));
  const std::string name = prefixed_name(stage, command, at.lowering.request().multi_platform, stage.platform, env);
  Assembly assembly(at, copy, name);
  KILN_RETURN_IF_ERROR(assembly.assemble());
  gb::Constraints constraints = gb::Constraints().name(name).ignore_cache(stage.ignore_cache);
  constraints.at(at.lowering.text(), graph_ranges(at.ranges()));
  if (copy.link && copy.chmod.empty() && at.lowering.caps().supports(graph::kCapMergeOp)) {
    link_files(at, assembly.steps(), constraints, command);
  } else {
    stage.state = gb::file(stage.state, assembly.steps(), constraints);
  }
  add_history(stage, history_of(copy), Layer::kMade, Mark::kBuildkit, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
