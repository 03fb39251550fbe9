// A Dockerfile as typed instructions: what the text says, nothing yet about what it means.
//
//   Linter linter(config, warn);
//   KILN_ASSIGN_OR_RETURN(Dockerfile file, parse_dockerfile(text, linter));
//   for (Stage& stage : file.stages)
//     for (Instruction& step : stage.steps)
//       if (auto* run = std::get_if<Run>(&step.body)) ...
//
// Stands between the client's text and lowering (text → statements → instructions → graph). No I/O.
// All of it is plain data: copyable, immutable by convention once parsed, any thread. Variables are
// not expanded here; expand_instruction (below) does it for exactly the fields in which a
// Dockerfile allows them, when lowering knows the environment.
//
// Reference: Dockerfile reference (docs.docker.com/reference/dockerfile); behaviour follows
// BuildKit's dockerfile.v0 frontend.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "frontend/dockerfile/lint.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {

enum class Keyword {
  kAdd,
  kArg,
  kCmd,
  kCopy,
  kEntrypoint,
  kEnv,
  kExpose,
  kFrom,
  kHealthcheck,
  kLabel,
  kMaintainer,
  kOnbuild,
  kRun,
  kShell,
  kStopSignal,
  kUser,
  kVolume,
  kWorkdir,
};
// "ADD", ...; upper case.
std::string_view keyword_name(Keyword keyword);
// Case-insensitive; nothing for any other word.
std::optional<Keyword> find_keyword(std::string_view word);
// All 18, upper case, alphabetical; for suggestions.
const std::vector<std::string>& keyword_names();

// k=v of ENV and LABEL. `legacy` marks the old form `ENV k v`, which LegacyKeyValueFormat reports.
struct KeyValue {
  std::string key;
  std::string value;
  bool legacy = false;
};

// A heredoc of RUN: `name` is the delimiter, `data` the lines with their ends (not yet chomped).
// `descriptor` is the number before `<<` (0 when none), `expand` whether the delimiter was
// unquoted, `strip_tabs` whether it was `<<-`.
struct Heredoc {
  std::string name;
  std::string data;
  unsigned descriptor = 0;
  bool expand = true;
  bool strip_tabs = false;
};
// The lines of a heredoc without their leading tabs (what `<<-` asks for).
std::string strip_leading_tabs(std::string_view data);

// A heredoc used as a source of COPY or ADD: a file named `path` with `data`, already stripped of
// tabs when asked. Variables in `data` are expanded (expand_contents) when `expand`.
struct InlineFile {
  std::string path;
  std::string data;
  bool expand = true;
};

struct SourcesAndDest {
  std::vector<std::string> sources;      // as written: paths, URLs, git references
  std::vector<InlineFile> inline_files;  // heredocs, in order
  std::string dest;
};

struct Add {
  SourcesAndDest paths;
  std::string chown;
  std::string chmod;
  std::string checksum;
  bool link = false;
  std::optional<bool> keep_git_dir;  // absent: flag not given
  std::optional<bool> unpack;        // absent: decided by kind of source
  std::vector<std::string> excludes;
};

struct Copy {
  SourcesAndDest paths;
  std::string from;  // stage name, index, image or context; empty: build context
  std::string chown;
  std::string chmod;
  bool link = false;
  bool parents = false;
  std::vector<std::string> excludes;
};

struct ArgEntry {
  std::string key;
  std::optional<std::string> value;  // absent: declared only
  std::string doc;                   // doc comment without the name; may be empty
};
struct Arg {
  std::vector<ArgEntry> entries;
};

struct Env {
  std::vector<KeyValue> entries;
};
struct Label {
  std::vector<KeyValue> entries;
};

// The command of RUN, CMD, ENTRYPOINT: exec form (argv as given) or shell form (one string in
// argv[0], to be put after the stage's SHELL).
struct CommandLine {
  std::vector<std::string> argv;
  bool shell_form = true;
  std::vector<Heredoc> heredocs;  // RUN only
};
struct Cmd {
  CommandLine command;
};
struct Entrypoint {
  CommandLine command;  // `ENTRYPOINT []` gives an empty argv
};

enum class MountType { kBind, kCache, kTmpfs, kSecret, kSsh };
enum class Sharing { kShared, kPrivate, kLocked };
std::string_view mount_type_name(MountType type);
std::string_view sharing_name(Sharing sharing);

// One RUN --mount. While values may hold variables (from parse_dockerfile) only `from` is filled;
// everything else is after expand_instruction or parse_mount with an expander.
struct Mount {
  MountType type = MountType::kBind;
  std::string from;
  std::string source;
  std::string target;
  bool read_only = true;
  std::int64_t size_bytes = 0;  // tmpfs; 0: none given
  std::string id;               // cache, secret, ssh
  std::optional<Sharing> sharing;
  bool required = false;
  std::optional<std::string> env;  // secret; present and empty: default name
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};

struct Device {
  std::string name;
  bool required = false;
};

enum class Network { kDefault, kNone, kHost };
enum class Security { kSandbox, kInsecure };

struct Run {
  CommandLine command;
  std::vector<std::string> mount_texts;  // the flags as written
  std::vector<Mount> mounts;             // same length and order
  Network network = Network::kDefault;
  Security security = Security::kSandbox;
  std::vector<Device> devices;
  std::vector<std::string> flags_used;  // "mount", "network", "security", "device"
};

struct Expose {
  std::vector<std::string> ports;  // sorted, not expanded, may hold variables
};

struct Healthcheck {
  std::vector<std::string> test;  // {"NONE"}, {"CMD", …}, {"CMD-SHELL", text}
  Duration interval{};
  Duration timeout{};
  Duration start_period{};
  Duration start_interval{};
  int retries = 0;
};

struct Maintainer {
  std::string name;
};
// `payload` is the instruction text to run in a child build, heredoc bodies included; parse it with
// parse_trigger.
struct Onbuild {
  std::string payload;
};
struct Shell {
  std::vector<std::string> argv;
};
struct StopSignal {
  std::string signal;
};
struct User {
  std::string user;
};
struct Volume {
  std::vector<std::string> paths;
};
struct Workdir {
  std::string path;
};

struct Instruction {
  std::string name;  // the keyword as written ("run", "RUN")
  std::string code;  // the whole instruction, continuations joined, heredoc bodies left out
  Ranges ranges;
  std::vector<std::string> comments;  // the comment lines directly above, without '#'
  std::variant<Add, Arg, Cmd, Copy, Entrypoint, Env, Expose, Healthcheck, Label, Maintainer, Onbuild, Run, Shell,
               StopSignal, User, Volume, Workdir>
      body;

  Keyword keyword() const;
};

// FROM and what follows it.
struct Stage {
  std::string name;       // lower case; empty: unnamed
  std::string base;       // as written; may hold variables
  std::string platform;   // --platform as written; may be empty
  std::string doc;        // doc comment without the name; may be empty
  std::string from_word;  // "FROM" as written
  std::string code;       // the FROM instruction
  Ranges ranges;          // of the FROM instruction
  std::vector<std::string> comments;
  std::vector<Instruction> steps;
};

struct Dockerfile {
  std::vector<Instruction> meta_args;  // ARG before the first FROM; body is Arg
  std::vector<Stage> stages;           // at least one
  char escape = '\\';
};

// Text to instructions; also runs the lint rules that need only the text (casing, stage names,
// maintainer, continuations, descriptions). InvalidArgument with ranges and, where one is near, a
// suggestion. Never blocks.
Result<Dockerfile> parse_dockerfile(std::string_view text, Linter& linter);

// The payload of an ONBUILD trigger (from a base image's config or this file) as an instruction.
// `ranges` become the instruction's place.
Result<Instruction> parse_trigger(std::string_view payload, const Ranges& ranges);

// Index of the stage of that name (case-insensitive; the first of several), or
// nothing. A number is not resolved here: see stage_by_reference.
std::optional<std::size_t> find_stage(const std::vector<Stage>& stages, std::string_view name);
// Name or zero-based index.
std::optional<std::size_t> stage_by_reference(const std::vector<Stage>& stages, std::string_view reference);

// Gives the text with variables replaced; an error stops the expansion.
using Expander = std::function<Result<std::string>(std::string_view)>;

// Expands, in place, the fields in which the Dockerfile format allows variables: ADD and COPY
// (paths,
// --chown, --chmod, ADD --checksum), ENV, LABEL, USER, WORKDIR, VOLUME, STOPSIGNAL, ARG, RUN
// --mount (which are validated then). Nothing in CMD, ENTRYPOINT, RUN's command, EXPOSE (split into
// words by lowering, see WordLexer::words), ONBUILD. On error the instruction is half expanded;
// drop it.
Status expand_instruction(Instruction& instruction, const Expander& expand);
// Expands the bodies of COPY and ADD heredocs; the expander must leave quotes alone
// (WordLexer::Options::ignore_quotes).
Status expand_contents(Instruction& instruction, const Expander& expand);

// One --mount value. Without expander only `from` is read and checked for variables.
Result<Mount> parse_mount(std::string_view text, const Expander* expand);
// One --device value: `name[,required=bool]`.
Result<Device> parse_device(std::string_view text);

}  // namespace kiln::frontend::dockerfile
