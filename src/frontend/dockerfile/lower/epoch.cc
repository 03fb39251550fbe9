#include "frontend/dockerfile/lower/epoch.h"

#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/archive_time.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/remote_add.h"
#include "graph/attributes.h"
#include "graph/build/sources.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

struct Origin {
  gb::State state;
  std::string log_name;
};

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

// Nothing for what a Time cannot hold.
std::optional<Time> from_seconds(std::int64_t seconds) {
  constexpr auto kMax = std::chrono::duration_cast<std::chrono::seconds>(Time::max().time_since_epoch());
  if (seconds > kMax.count() || seconds < -kMax.count()) return std::nullopt;
  return Time(std::chrono::seconds(seconds));
}

// Time of the committer: "committer Name <mail> 1700000000 +0100".
std::optional<Time> commit_time(const std::string& object) {
  for (std::string_view line : split(object, '\n')) {
    if (line.empty()) break;
    if (!line.starts_with("committer ")) continue;
    auto close = line.rfind('>');
    if (close == std::string_view::npos) return std::nullopt;
    auto fields = words(line.substr(close + 1));
    auto seconds = fields.empty() ? std::nullopt : parse_integer(fields[0]);
    return seconds ? from_seconds(*seconds) : std::nullopt;
  }
  return std::nullopt;
}

// The one source op of a state; nothing when it has none or several.
Result<std::optional<graph::SourceOp>> source_of(const gb::State& state) {
  std::optional<graph::SourceOp> found;
  KILN_ASSIGN_OR_RETURN(auto definition, gb::marshal(state));
  for (const auto& bytes : definition.ops) {
    KILN_ASSIGN_OR_RETURN(auto op, graph::decode_op(bytes));
    auto* source = std::get_if<graph::SourceOp>(&op.kind);
    if (source == nullptr) continue;
    if (found) return std::optional<graph::SourceOp>();
    found = std::move(*source);
  }
  return found;
}

Result<std::optional<Time>> time_of_source(Bridge& bridge, const Origin& origin, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto source, source_of(origin.state));
  if (!source) return std::optional<Time>();
  ResolveOptions options{.log_name = origin.log_name};
  options.git_object = source->identifier.starts_with("git://");
  KILN_ASSIGN_OR_RETURN(auto meta, bridge.resolve_source(*source, std::nullopt, options, stop));
  if (meta.git && !meta.git->commit_object.empty()) return commit_time(meta.git->commit_object);
  if (meta.http && meta.http->last_modified) return meta.http->last_modified;
  const bool is_http = source->identifier.starts_with("http://") || source->identifier.starts_with("https://");
  auto filename = source->attrs.find(graph::kAttrHttpFilename);
  if (!is_http || filename == source->attrs.end() || filename->second.empty()) return std::optional<Time>();
  KILN_ASSIGN_OR_RETURN(RefPtr ref, solve_state(bridge, gb::source(source->identifier, source->attrs), false, stop));
  if (!ref) return std::optional<Time>();
  KILN_ASSIGN_OR_RETURN(std::string bytes, ref->read_file({.path = filename->second}, stop));
  return newest_in_archive(bytes);
}

// ---- a stage that stands for a source -----------------------------------------------------

Status add_args(const Lowering& lowering, const Arg& arg, gb::EnvList& env) {
  for (const auto& entry : arg.entries) {
    if (auto given = lowering.build_args().find(entry.key); given != lowering.build_args().end()) {
      env.set(entry.key, given->second);
    } else if (entry.value) {
      KILN_ASSIGN_OR_RETURN(auto value, lowering.lexer().expand_text(*entry.value, StateEnvironment(env)));
      env.set(entry.key, value);
    }
  }
  return ok();
}

Result<gb::State> source_of_add(const Lowering& lowering, const Add& add, const gb::EnvList& env) {
  if (!add.paths.inline_files.empty() || add.paths.sources.size() != 1) {
    return invalid("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source");
  }
  const StateEnvironment words(env);
  RemoteAdd remote;
  KILN_ASSIGN_OR_RETURN(remote.source, lowering.lexer().expand_text(add.paths.sources.front(), words));
  KILN_ASSIGN_OR_RETURN(remote.checksum, lowering.lexer().expand_text(add.checksum, words));
  remote.keep_git_dir = add.keep_git_dir;
  auto state = remote_state(remote, gb::Constraints());
  if (!state) return invalid("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD");
  return *std::move(state);
}

Result<gb::State> source_of_stage(const Lowering& lowering, const Stage& stage) {
  constexpr const char* kOneAdd = "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD";
  gb::EnvList env = lowering.global_args();
  env.unset("SOURCE_DATE_EPOCH");
  auto base = lowering.lexer().expand_text(stage.base, StateEnvironment(env));
  if (!base.ok())
    return annotate(base.status(), fmt::format("failed to process source stage base name {}", quote(stage.base)));
  if (*base != "scratch") return invalid("SOURCE_DATE_EPOCH stage must use FROM scratch");
  std::optional<gb::State> found;
  for (const auto& instruction : stage.steps) {
    if (const auto* arg = std::get_if<Arg>(&instruction.body)) {
      KILN_RETURN_IF_ERROR(add_args(lowering, *arg, env));
    } else if (const auto* add = std::get_if<Add>(&instruction.body)) {
      if (found) return invalid(kOneAdd);
      KILN_ASSIGN_OR_RETURN(found, source_of_add(lowering, *add, env));
    } else {
      return invalid(
          fmt::format("SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported {} instruction",
                      instruction.name));
    }
  }
  if (!found) return invalid(kOneAdd);
  return *found;
}

Result<Origin> origin_of(Lowering& lowering, const std::string& value, std::stop_token stop) {
  if (value == "context") {
    KILN_ASSIGN_OR_RETURN(auto state, lowering.contexts().main({}, stop));
    return Origin{std::move(state), "[internal] resolve main build context metadata"};
  }
  KILN_ASSIGN_OR_RETURN(auto named, lowering.contexts().load_named(value, {}, stop));
  if (named) return Origin{std::move(named->state), "[internal] resolve SOURCE_DATE_EPOCH named context " + value};
  for (const auto& stage : lowering.stages_of_file()) {
    if (!equals_ignore_case(stage.name, value)) continue;
    auto state = source_of_stage(lowering, stage);
    if (!state.ok()) return with_ranges(state.status(), stage.ranges);
    return Origin{*std::move(state), "[internal] resolve SOURCE_DATE_EPOCH source stage " + stage.name};
  }
  return invalid("invalid SOURCE_DATE_EPOCH: " + value);
}

}  // namespace

Result<std::optional<Time>> resolve_epoch(Lowering& lowering, const std::string& value, std::stop_token stop) {
  if (value.empty()) return std::optional<Time>();
  if (auto seconds = parse_integer(value)) {
    auto time = from_seconds(*seconds);
    if (!time) return invalid(fmt::format("invalid SOURCE_DATE_EPOCH: {}: it lies beyond the year 2262", value));
    return time;
  }
  KILN_ASSIGN_OR_RETURN(Origin origin, origin_of(lowering, value, stop));
  return time_of_source(lowering.contexts().bridge(), origin, stop);
}

}  // namespace kiln::frontend::dockerfile
