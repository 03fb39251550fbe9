#include "frontend/dockerfile/instruction_parse.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/letters.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/instruction_flags.h"

namespace kiln::frontend::dockerfile {
namespace {

using Body = decltype(Instruction::body);

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

Status need_words(const Statement& statement, std::string_view name) {
  if (!statement.words.empty()) return ok();
  return word_fault(statement.name, fmt::format("{} requires at least one argument", name));
}

Status no_flags(const Statement& statement) { return FlagSet().parse(statement.flags); }

Result<std::string> only_word(const Statement& statement, std::string_view name) {
  if (statement.words.size() != 1)
    return word_fault(statement.name, fmt::format("{} requires exactly one argument", name));
  return statement.words[0];
}

Result<SourcesAndDest> sources_and_dest(const Statement& statement, std::string_view name) {
  SourcesAndDest out;
  out.dest = statement.words.back();
  if (heredoc_of_word(out.dest))
    return word_fault(out.dest, fmt::format("{} cannot accept a heredoc as a destination", name));
  for (std::size_t i = 0; i + 1 < statement.words.size(); ++i) {
    const std::string& word = statement.words[i];
    std::optional<Heredoc> announced = statement.json ? std::nullopt : heredoc_of_word(word);
    if (!announced) {
      out.sources.push_back(word);
      continue;
    }
    InlineFile file{announced->name, "", announced->expand};
    for (const Heredoc& heredoc : statement.heredocs) {
      if (heredoc.name == announced->name) file.data = heredoc.data;
    }
    if (announced->strip_tabs) file.data = strip_leading_tabs(file.data);
    out.inline_files.push_back(std::move(file));
  }
  return out;
}

Status need_destination(const Statement& statement, std::string_view name) {
  if (statement.words.size() >= 2) return ok();
  return word_fault(statement.words.empty() ? statement.name : statement.words[0],
                    fmt::format("{} requires at least two arguments, but only one was provided. Destination "
                                "could not be determined",
                                name));
}

Result<Body> parse_add(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_destination(statement, "ADD"));
  FlagSet flags;
  auto& chown = flags.text("chown");
  auto& chmod = flags.text("chmod");
  auto& link = flags.boolean("link");
  auto& keep_git_dir = flags.boolean("keep-git-dir");
  auto& checksum = flags.text("checksum");
  auto& unpack = flags.boolean("unpack");
  auto& excludes = flags.list("exclude");
  KILN_RETURN_IF_ERROR(flags.parse(statement.flags));
  Add add;
  KILN_ASSIGN_OR_RETURN(add.paths, sources_and_dest(statement, "ADD"));
  add.chown = chown.value;
  add.chmod = chmod.value;
  add.checksum = checksum.value;
  add.link = link.on();
  if (keep_git_dir.used) add.keep_git_dir = keep_git_dir.on();
  if (unpack.used) add.unpack = unpack.on();
  add.excludes = excludes.values;
  return add;
}

Result<Body> parse_copy(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_destination(statement, "COPY"));
  FlagSet flags;
  auto& chown = flags.text("chown");
  auto& from = flags.text("from");
  auto& chmod = flags.text("chmod");
  auto& link = flags.boolean("link");
  auto& excludes = flags.list("exclude");
  auto& parents = flags.boolean("parents");
  KILN_RETURN_IF_ERROR(flags.parse(statement.flags));
  Copy copy;
  KILN_ASSIGN_OR_RETURN(copy.paths, sources_and_dest(statement, "COPY"));
  copy.from = from.value;
  copy.chown = chown.value;
  copy.chmod = chmod.value;
  copy.link = link.on();
  copy.parents = parents.on();
  copy.excludes = excludes.values;
  return copy;
}

Result<std::vector<KeyValue>> pairs(const Statement& statement, std::string_view name) {
  KILN_RETURN_IF_ERROR(no_flags(statement));
  KILN_RETURN_IF_ERROR(need_words(statement, name));
  std::vector<KeyValue> out;
  for (std::size_t i = 0; i + 2 < statement.words.size(); i += 3) {
    if (statement.words[i].empty()) return fault(fmt::format("{} names can not be blank", name));
    out.push_back({statement.words[i], statement.words[i + 1], statement.words[i + 2].empty()});
  }
  return out;
}

Result<Body> parse_arg(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_words(statement, "ARG"));
  Arg arg;
  for (const std::string& word : statement.words) {
    auto [name, value] = split_once(word, '=');
    ArgEntry entry{std::string(name), std::nullopt, doc_comment(statement.comments, name)};
    if (name.size() < word.size()) entry.value = value;
    if (name.empty()) return fault("ARG names can not be blank");
    arg.entries.push_back(std::move(entry));
  }
  return arg;
}

Result<Duration> interval(const FlagSet::Flag& flag) {
  if (flag.value.empty()) return Duration{};
  auto parsed = parse_duration(flag.value);
  if (!parsed.ok()) return with_word(parsed.status(), flag.value);
  const Duration duration = *parsed;
  if (duration != Duration{} && duration < std::chrono::milliseconds(1)) {
    return word_fault(flag.value, fmt::format("Interval {} cannot be less than 1ms", quote(flag.name)));
  }
  return duration;
}

Result<Body> parse_healthcheck(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_words(statement, "HEALTHCHECK"));
  Healthcheck health;
  std::string kind = to_upper(statement.words[0]);
  std::vector<std::string> command(statement.words.begin() + 1, statement.words.end());
  if (kind == "NONE") {
    if (!command.empty()) return fault("HEALTHCHECK NONE takes no arguments");
    health.test = {kind};
    return health;
  }
  FlagSet flags;
  auto& every = flags.text("interval");
  auto& timeout = flags.text("timeout");
  auto& start_period = flags.text("start-period");
  auto& start_interval = flags.text("start-interval");
  auto& retries = flags.text("retries");
  KILN_RETURN_IF_ERROR(flags.parse(statement.flags));
  if (kind != "CMD")
    return word_fault(statement.words[0], fmt::format("Unknown type {} in HEALTHCHECK (try CMD)", quote(kind)));
  if (command.empty()) return fault("Missing command after HEALTHCHECK CMD");
  health.test = {statement.json ? "CMD" : "CMD-SHELL"};
  health.test.insert(health.test.end(), command.begin(), command.end());
  KILN_ASSIGN_OR_RETURN(health.interval, interval(every));
  KILN_ASSIGN_OR_RETURN(health.timeout, interval(timeout));
  KILN_ASSIGN_OR_RETURN(health.start_period, interval(start_period));
  KILN_ASSIGN_OR_RETURN(health.start_interval, interval(start_interval));
  if (!retries.value.empty()) {
    std::optional<std::int64_t> count = parse_integer(retries.value);
    if (!count || *count > INT32_MAX)
      return word_fault(retries.value, fmt::format("--retries must be a whole number, not {}", quote(retries.value)));
    if (*count < 0) return word_fault(retries.value, fmt::format("--retries cannot be negative ({})", *count));
    health.retries = static_cast<int>(*count);
  }
  return health;
}

Result<Body> parse_onbuild(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_words(statement, "ONBUILD"));
  KILN_RETURN_IF_ERROR(no_flags(statement));
  std::string trigger = to_upper(trim(statement.words[0]));
  if (trigger == "ONBUILD") return fault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "MAINTAINER" || trigger == "FROM")
    return word_fault(statement.words[0], fmt::format("{} isn't allowed as an ONBUILD trigger", trigger));
  std::string_view payload = trim_leading_blanks(statement.text).substr(statement.name.size());
  Onbuild out{std::string(trim_leading_blanks(payload))};
  for (const Heredoc& heredoc : statement.heredocs) out.payload += "\n" + heredoc.data + heredoc.name;
  return out;
}

Result<Body> parse_shell(const Statement& statement) {
  KILN_RETURN_IF_ERROR(no_flags(statement));
  KILN_RETURN_IF_ERROR(need_words(statement, "SHELL"));
  if (!statement.json) {
    return fault(
        fmt::format("SHELL requires the arguments to be in JSON form, as in SHELL [\"/bin/sh\", "
                    "\"-c\"]; found {}",
                    quote(trim(statement.text))));
  }
  return Shell{statement.words};
}

Result<Body> parse_expose(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_words(statement, "EXPOSE"));
  KILN_RETURN_IF_ERROR(no_flags(statement));
  Expose expose{statement.words};
  std::sort(expose.ports.begin(), expose.ports.end());
  return expose;
}

Result<Body> parse_volume(const Statement& statement) {
  KILN_RETURN_IF_ERROR(need_words(statement, "VOLUME"));
  KILN_RETURN_IF_ERROR(no_flags(statement));
  Volume volume;
  for (const std::string& word : statement.words) {
    std::string_view path = trim_blanks(word);
    if (path.empty()) return fault("VOLUME specified can not be an empty string");
    volume.paths.emplace_back(path);
  }
  return volume;
}

bool valid_stage_name(std::string_view name) {
  if (name.empty() || name[0] < 'a' || name[0] > 'z') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

Result<std::string> stage_name(const std::string& keyword, const std::vector<std::string>& words) {
  if (words.size() == 1) return std::string();
  if (words.size() != 3 || !equals_ignore_case(words[1], "as"))
    return word_fault(words.empty() ? keyword : words[words.size() > 3 ? 3 : 1],
                      "FROM requires either one or three arguments: FROM <image> [AS <name>]");
  std::string name = to_lower(words[2]);
  if (valid_stage_name(name)) return name;
  return word_fault(words[2],
                    fmt::format("invalid name for build stage: {}, name can't start with a number or contain symbols",
                                quote(words[2])));
}

}  // namespace

CommandLine command_line(const Statement& statement) { return {statement.words, !statement.json, statement.heredocs}; }

std::string doc_comment(const std::vector<std::string>& comments, std::string_view name) {
  if (name.empty()) return "";
  for (const std::string& comment : comments) {
    auto [first, rest] = split_once(comment, ' ');
    if (first == name && first.size() < comment.size()) return std::string(rest);
  }
  return "";
}

Result<Stage> parse_from(const Statement& statement) {
  Stage stage;
  KILN_ASSIGN_OR_RETURN(stage.name, stage_name(statement.name, statement.words));
  FlagSet flags;
  auto& platform = flags.text("platform");
  KILN_RETURN_IF_ERROR(flags.parse(statement.flags));
  stage.base = statement.words[0];
  stage.platform = platform.value;
  stage.doc = doc_comment(statement.comments, stage.name);
  stage.from_word = statement.name;
  stage.code = trim_blanks(statement.text);
  stage.ranges = statement.ranges();
  stage.comments = statement.comments;
  return stage;
}

Result<Run> parse_run(const Statement& statement) {
  FlagSet flags;
  auto& device = flags.list("device");
  auto& mount = flags.list("mount");
  auto& network = flags.text("network", "default");
  auto& security = flags.text("security", "sandbox");
  KILN_RETURN_IF_ERROR(flags.parse(statement.flags));
  Run run;
  run.command = command_line(statement);
  run.flags_used = flags.used();
  run.mount_texts = mount.values;
  for (const std::string& text : device.values) {
    auto parsed = parse_device(text);
    if (!parsed.ok()) return with_word(parsed.status(), text);
    run.devices.push_back(*std::move(parsed));
  }
  for (const std::string& text : mount.values) {
    auto parsed = parse_mount(text, nullptr);
    if (!parsed.ok()) return with_word(parsed.status(), text);
    run.mounts.push_back(*std::move(parsed));
  }
  if (network.value == "none") {
    run.network = Network::kNone;
  } else if (network.value == "host") {
    run.network = Network::kHost;
  } else if (network.value != "default") {
    return word_fault(network.value, fmt::format("invalid network mode {}{}", quote(network.value),
                                                 suggestion_suffix(network.value, {"default", "none", "host"},
                                                                   MatchCase::kSensitive)));
  }
  if (security.value == "insecure") {
    run.security = Security::kInsecure;
  } else if (security.value != "sandbox") {
    return word_fault(security.value,
                      fmt::format("security {} is not valid{}", quote(security.value),
                                  suggestion_suffix(security.value, {"sandbox", "insecure"}, MatchCase::kSensitive)));
  }
  return run;
}

Result<Body> parse_body(const Statement& statement, Keyword keyword) {
  switch (keyword) {
    case Keyword::kAdd: return parse_add(statement);
    case Keyword::kCopy: return parse_copy(statement);
    case Keyword::kArg: return parse_arg(statement);
    case Keyword::kHealthcheck: return parse_healthcheck(statement);
    case Keyword::kOnbuild: return parse_onbuild(statement);
    case Keyword::kShell: return parse_shell(statement);
    case Keyword::kExpose: return parse_expose(statement);
    case Keyword::kVolume: return parse_volume(statement);
    case Keyword::kRun: {
      KILN_ASSIGN_OR_RETURN(Run run, parse_run(statement));
      return run;
    }
    case Keyword::kCmd: {
      KILN_RETURN_IF_ERROR(no_flags(statement));
      return Cmd{command_line(statement)};
    }
    case Keyword::kEntrypoint: {
      KILN_RETURN_IF_ERROR(no_flags(statement));
      return Entrypoint{command_line(statement)};
    }
    case Keyword::kEnv: {
      KILN_ASSIGN_OR_RETURN(std::vector<KeyValue> entries, pairs(statement, "ENV"));
      return Env{std::move(entries)};
    }
    case Keyword::kLabel: {
      KILN_ASSIGN_OR_RETURN(std::vector<KeyValue> entries, pairs(statement, "LABEL"));
      return Label{std::move(entries)};
    }
    case Keyword::kMaintainer: {
      KILN_RETURN_IF_ERROR(no_flags(statement));
      KILN_ASSIGN_OR_RETURN(std::string name, only_word(statement, "MAINTAINER"));
      return Maintainer{name};
    }
    case Keyword::kUser: {
      KILN_ASSIGN_OR_RETURN(std::string user, only_word(statement, "USER"));
      KILN_RETURN_IF_ERROR(no_flags(statement));
      return User{user};
    }
    case Keyword::kWorkdir: {
      KILN_ASSIGN_OR_RETURN(std::string path, only_word(statement, "WORKDIR"));
      KILN_RETURN_IF_ERROR(no_flags(statement));
      return Workdir{path};
    }
    case Keyword::kStopSignal: {
      KILN_ASSIGN_OR_RETURN(std::string signal, only_word(statement, "STOPSIGNAL"));
      return StopSignal{signal};
    }
    case Keyword::kFrom: break;
  }
  return fault("FROM cannot be used here");
}

}  // namespace kiln::frontend::dockerfile
