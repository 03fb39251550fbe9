// RUN: a command on the tree so far.
#include <fmt/format.h>

#include "base/text.h"
#include "base/utf8.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/run_mounts.h"
#include "frontend/dockerfile/lower/steps.h"
#include "frontend/dockerfile/places.h"
#include "frontend/dockerfile/statement.h"
#include "graph/build/exec.h"
#include "graph/build/file.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

constexpr const char* kPipesDir = "/dev/pipes/";

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

// The first line of a document, for the step's name.
std::string summary(std::string_view document) {
  std::string_view text = trim(document);
  auto end = text.find('\n');
  if (end == std::string_view::npos) return std::string(text);
  std::string_view first = text.substr(0, end);
  if (first.ends_with('\r')) first.remove_suffix(1);
  return std::string(first) + "...";
}

// A script of its own is put into a file and run; the shell is not asked.
void run_script(StepContext& at, const Heredoc& heredoc, const std::string& script, gb::RunSpec& spec) {
  gb::FileSteps write;
  write.mkfile(heredoc.name, 0755, script);
  gb::MountSpec mount{.target = kPipesDir, .selector = "/", .readonly = true};
  mount.source = gb::file(gb::scratch(), write,
                          gb::Constraints().name("[internal] preparing inline document").on(*at.stage.platform));
  spec.mounts.push_back(std::move(mount));
  spec.args = {kPipesDir + heredoc.name};
}

// The command with its documents. `name` is what progress shows.
Status set_args(StepContext& at, const CommandLine& command, gb::RunSpec& spec, std::string& name) {
  spec.args = command.argv;
  if (!command.heredocs.empty()) {
    if (command.argv.size() != 1 || !command.shell_form) {
      return invalid(fmt::format("parsing produced an invalid run command: {}", plain_list(command.argv)));
    }
    const Heredoc& first = command.heredocs.front();
    if (heredoc_of_word(command.argv.front())) {
      const std::string text = first.strip_tabs ? strip_leading_tabs(first.data) : first.data;
      if (at.stage.image.platform.os != "windows" && text.starts_with("#!")) {
        run_script(at, first, text, spec);
      } else {
        spec.args = {text};
      }
      name += fmt::format(" ({})", summary(first.data));
    } else {
      // More than one document, or words around it: the shell itself reads them.
      std::string whole = command.argv.front();
      for (const auto& heredoc : command.heredocs) whole += "\n" + heredoc.data + heredoc.name;
      spec.args = {std::move(whole)};
    }
  }
  if (command.shell_form) spec.args = with_shell(at.stage.image, spec.args);
  return ok();
}

// A command goes into the graph as it stands, and the graph's texts are UTF-8.
Status check_text(const std::vector<std::string>& args) {
  constexpr std::size_t kShown = 20;
  for (const std::string& arg : args) {
    for (std::size_t at = 0; at < arg.size();) {
      const Rune rune = decode_rune(std::string_view(arg).substr(at));
      if (!rune.valid) {
        const auto byte = static_cast<unsigned char>(arg[at]);
        const std::size_t from = at - std::min(at, kShown);
        return invalid(
            fmt::format("the command is no UTF-8: byte 0x{:02x} behind \"{}\"; save the file in UTF-8, or write "
                        "the byte as printf '\\{:o}'",
                        byte, arg.substr(from, at - from), byte));
      }
      at += rune.size;
    }
  }
  return ok();
}

// The environment with the names of secrets, whose values nobody shall see.
class MaskedEnvironment final : public Environment {
 public:
  MaskedEnvironment(const Environment& base, const Run& run) : base_(base) {
    for (const auto& mount : run.mounts) {
      if (mount.type == MountType::kSecret && mount.env) secrets_.insert(*mount.env);
    }
  }
  std::optional<std::string> get(std::string_view name) const override {
    if (secrets_.contains(name)) return "****";
    return base_.get(name);
  }
  std::vector<std::string> names() const override { return base_.names(); }

 private:
  const Environment& base_;
  std::set<std::string, std::less<>> secrets_;
};

Status add_devices(const Run& run, gb::RunSpec& spec) {
  for (const auto& device : run.devices) spec.devices.push_back({device.name, !device.required});
  return ok();
}

// What the build's options say about every command, as far as the daemon understands it.
void apply_options(const StepContext& at, gb::RunSpec& spec, gb::Settings& settings, gb::Constraints& constraints) {
  const Request& request = at.lowering.request();
  const auto& caps = at.lowering.caps();
  spec.proxy = at.lowering.proxy();
  for (const auto& host : request.extra_hosts) settings.extra_hosts.push_back(host);
  if (caps.supports(graph::kCapExecMetaUlimit)) {
    settings.ulimits.insert(settings.ulimits.end(), request.ulimits.begin(), request.ulimits.end());
  }
  if (caps.supports(graph::kCapExecMountTmpfsSize) && request.shm_bytes > 0) {
    spec.mounts.push_back({.target = "/dev/shm", .tmpfs_bytes = request.shm_bytes});
  }
  if (caps.supports(graph::kCapExecMetaCgroupParent) && !request.cgroup_parent.empty()) {
    settings.cgroup_parent = request.cgroup_parent;
  }
  if (caps.supports(graph::kCapExecMetaLinuxResources) && request.resources) {
    constraints.metadata.linux_resources = request.resources;
  }
}

// "|2 A=1 B=2 /bin/sh -c make": the args in scope are part of what made the layer.
std::string history_of(const StageState& stage, const std::vector<std::string>& args, const Environment& env) {
  std::vector<std::string> words;
  std::map<std::string, std::size_t> index;
  for (const auto& arg : stage.build_args) {
    const std::string word = arg.key + "=" + env.get(arg.key).value_or(arg.value.value_or(""));
    auto [it, added] = index.emplace(arg.key, words.size());
    if (added) {
      words.push_back(word);
    } else {
      words[it->second] = word;
    }
  }
  if (!words.empty()) words.insert(words.begin(), fmt::format("|{}", words.size()));
  words.insert(words.end(), args.begin(), args.end());
  return "RUN " + join(words, " ");
}

}  // namespace

Status lower_run(StepContext& at, Run& run) {
  StageState& stage = at.stage;
  stage.paths->insert("/");  // a command may read any file
  gb::RunSpec spec;
  std::string name = at.instruction().code;
  KILN_RETURN_IF_ERROR(set_args(at, run.command, spec, name));
  KILN_RETURN_IF_ERROR(check_text(spec.args));
  KILN_RETURN_IF_ERROR(add_run_mounts(at, run, spec));
  if (at.lowering.caps().supports(graph::kCapExecMetaCdi)) KILN_RETURN_IF_ERROR(add_devices(run, spec));

  gb::Settings settings = stage.state.settings();
  if (run.network == Network::kNone) settings.network = graph::NetMode::kNone;
  if (run.network == Network::kHost) settings.network = graph::NetMode::kHost;
  settings.security =
      run.security == Security::kInsecure ? graph::SecurityMode::kInsecure : graph::SecurityMode::kSandbox;

  const gb::EnvList env = settings.env;
  const StateEnvironment words(env);
  const WordLexer shown(at.lowering.escape(), {.keep_quotes = true, .keep_unset = true});
  const std::string command = shown_command(shown, name, MaskedEnvironment(words, run));
  gb::Constraints constraints;
  constraints.describe("com.docker.dockerfile.v1.command", at.instruction().code);
  constraints.at(at.lowering.text(), graph_ranges(at.ranges())).ignore_cache(stage.ignore_cache);
  constraints.name(prefixed_name(stage, command, at.lowering.request().multi_platform, settings.platform, env));
  apply_options(at, spec, settings, constraints);
  spec.settings = std::move(settings);
  const std::vector<std::string> args = spec.args;
  stage.state = gb::run(stage.state, spec, constraints);
  add_history(stage, history_of(stage, args, words), Layer::kMade, Mark::kBuildkit, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
