// Every command and flag there is; help, completions and manuals are printed from these rows.
#include "client/internal/commands.h"
#include "client/program.h"

namespace kiln::client {
namespace {

using K = OptionKind;

Option text(std::string name, std::string help, std::string value = "value") {
  return {.name = std::move(name), .help = std::move(help), .value_name = std::move(value)};
}
Option list(std::string name, std::string help, std::string value = "value") {
  return {.name = std::move(name), .kind = K::kList, .help = std::move(help), .value_name = std::move(value)};
}
Option flag(std::string name, std::string help) {
  return {.name = std::move(name), .kind = K::kSwitch, .help = std::move(help)};
}
Option file(std::string name, std::string help) {
  return {.name = std::move(name), .help = std::move(help), .value_name = "file", .completion = Completion::kFile};
}
Option with_alias(Option option, std::string aliases) {
  option.aliases = std::move(aliases);
  return option;
}
Option with_fallback(Option option, std::string fallback) {
  option.fallback = std::move(fallback);
  return option;
}

Option format_option() {
  return text("format", "Format the output using the given Go template, e.g. '{{json .}}'", "template");
}
Option filter_option() { return with_alias(list("filter", "Filter records", "filter"), "f"); }
Option verbose_option() { return with_alias(flag("verbose", "Verbose output"), "v"); }
Option progress_option() {
  Option option =
      with_fallback(text("progress", "How progress is shown; plain shows the steps' output", "mode"), "auto");
  option.choices = {"auto", "plain", "tty", "rawjson", "quiet"};
  return option;
}

std::vector<Option> global_options() {
  return {flag("debug", "Tell more when something fails"),
          text("addr", "Address of the daemon (env: BUILDKIT_HOST)", "address"),
          with_fallback({.name = "log-format", .help = "Form of log messages", .choices = {"text", "json"}}, "text"),
          text("tlsservername", "Name of the daemon for certificate validation", "name"),
          file("tlscacert", "CA certificate for validation"),
          file("tlscert", "Client certificate"),
          file("tlskey", "Client key"),
          {.name = "tlsdir",
           .help = "Directory with CA certificate, client certificate and client key: ca.pem, "
                   "cert.pem, key.pem or ca.crt, tls.crt, tls.key",
           .value_name = "dir",
           .completion = Completion::kDirectory},
          {.name = "timeout",
           .kind = K::kInteger,
           .help = "Give up connecting after so many seconds",
           .fallback = "5",
           .value_name = "seconds"},
          flag("wait", "Wait until the daemon answers")};
}

Command build_command(std::string name, std::string aliases) {
  return {.name = std::move(name),
          .aliases = std::move(aliases),
          .summary = "build a graph, or what a frontend makes of its input",
          .description =
              "To build a Dockerfile and push the image:\n"
              "  build --frontend dockerfile.v0 --opt target=foo --opt build-arg:foo=bar --local "
              "context=. "
              "--local dockerfile=. --output type=image,name=docker.io/username/image,push=true\n"
              "Without --frontend a graph (an LLB definition) is read from standard input.",
          .options = {with_alias(list("output",
                                      "Where the result goes, e.g. type=image,name=docker.io/username/image,push=true",
                                      "spec"),
                                 "o"),
                      progress_option(),
                      file("trace", "Write the build's events to a file, one JSON object a line"),
                      list("local", "Let the build read a local directory", "name=dir"),
                      list("oci-layout", "Let the build read a local OCI layout", "name=dir"),
                      text("frontend", "Frontend that makes the graph", "name"),
                      list("opt", "Option of the frontend, e.g. target=foo or build-arg:foo=bar", "key=value"),
                      flag("no-cache", "Run every step anew"),
                      list("export-cache",
                           "Where the build cache goes, e.g. type=registry,ref=example.com/foo/bar or "
                           "type=local,dest=dir",
                           "spec"),
                      list("import-cache",
                           "Where build cache comes from, e.g. type=registry,ref=example.com/foo/bar or "
                           "type=local,src=dir",
                           "spec"),
                      list("secret", "Secret for the build: id=name,src=file or id=name,env=VARIABLE", "spec"),
                      list("allow", "Allow an extra privilege: network.host, security.insecure, device", "entitlement"),
                      list("ssh", "Agent or socket for the build: default|<id>[=<socket>[,raw=false]|<key>[,<key>]]",
                           "spec"),
                      file("metadata-file", "Write what the exporters tell (digests, names) to a JSON file"),
                      file("source-policy-file", "Read a source policy from a JSON file"),
                      flag("proxy-network", "Enforce the proxy network"),
                      file("ref-file", "Write the build's reference to a file"),
                      list("registry-auth-tlscontext",
                           "TLS when asking a registry for tokens: "
                           "host=https://h:2376,insecure=false,ca=f,cert=f,key=f",
                           "spec"),
                      file("debug-json-cache-metrics", "Write cache metrics as JSON to a file, 'stdout' or 'stderr'"),
                      flag("explain", "Say in each step's log why it was not found in the cache")},
          .id = kBuild};
}

Command quick_build_command() {
  return {
      .name = "build",
      .aliases = "b",
      .summary = "build an image from a Dockerfile",
      .arguments = "CONTEXT",
      .description =
          "CONTEXT is a directory, a git or http address, or - for a tar archive on standard "
          "input.\n"
          "  kiln build -t registry.example/app:1 --push .\n"
          "Without a reachable daemon kiln starts one of its own, which leaves when it is idle.",
      .options = {with_alias(file("file", "The Dockerfile (default: CONTEXT/Dockerfile); - for standard input"), "f"),
                  with_alias(list("tag", "Name of the image", "name"), "t"),
                  text("target", "Stage to build", "stage"),
                  list("build-arg", "Build argument; without =value it is taken from the environment", "name=value"),
                  list("secret", "Secret for the build: id=name,src=file or id=name,env=VARIABLE", "spec"),
                  list("ssh", "Agent or key for the build: default|<id>[=<socket>|<key>[,<key>]]", "spec"),
                  list("platform", "Platform to build for, e.g. linux/arm64", "platform"),
                  flag("no-cache", "Run every step anew"),
                  list("no-cache-filter", "Run the steps of these stages anew", "stage"),
                  flag("push", "Push the image"),
                  flag("pull", "Look for newer base images"),
                  with_alias(
                      list("output", "Where the result goes, e.g. type=local,dest=out or just a directory", "spec"),
                      "o"),
                  list("cache-to", "Where the build cache goes, e.g. type=registry,ref=example.com/foo/bar", "spec"),
                  list("cache-from", "Where build cache comes from", "spec"),
                  list("build-context", "Another context for FROM and COPY --from: name=path|docker-image://ref|url",
                       "name=source"),
                  list("label", "Label of the image", "key=value"),
                  list("annotation", "Annotation of the image's manifest", "key=value"),
                  list("attest", "Attestation, e.g. type=sbom", "spec"),
                  text("provenance", "Shorthand for --attest type=provenance", "mode"),
                  text("sbom", "Shorthand for --attest type=sbom", "spec"),
                  list("add-host", "Extra line of the steps' hosts file", "host:ip"),
                  text("network", "Network of the steps: default, none, host", "mode"),
                  text("shm-size", "Size of the steps' /dev/shm", "size"),
                  list("ulimit", "Limit of the steps", "name=soft[:hard]"),
                  list("allow", "Allow an extra privilege: network.host, security.insecure, device", "entitlement"),
                  text("call", "Ask instead of building: check, outline, targets", "method"),
                  flag("check", "Check the Dockerfile; the same as --call=check"),
                  with_alias(flag("quiet", "Print only the image's digest"), "q"),
                  progress_option(),
                  file("metadata-file", "Write what the exporters tell (digests, names) to a JSON file"),
                  file("iidfile", "Write the image's digest to a file"),
                  file("source-policy-file", "Read a source policy from a JSON file"),
                  file("trace", "Write the build's events to a file, one JSON object a line"),
                  flag("explain", "Say in each step's log why it was not found in the cache")},
      .id = kQuickBuild,
      .completion = Completion::kDirectory};
}

std::vector<Option> dockerfile_options() {
  return {with_alias(file("file", "The Dockerfile (default: CONTEXT/Dockerfile); - for standard input"), "f"),
          text("target", "Stage to look at", "stage"),
          list("build-arg", "Build argument; without =value it is taken from the environment", "name=value"),
          list("platform", "Platform to look at, e.g. linux/arm64", "platform"),
          list("build-context", "Another context for FROM and COPY --from: name=directory", "name=source")};
}

Command check_command() {
  Command command{
      .name = "check",
      .summary = "look for doubtful and wrong places in a Dockerfile",
      .arguments = "[CONTEXT]",
      .description =
          "Needs no daemon. Base images are not looked up then, so rules that depend on them are passed over.\n"
          "Ends with 0 when nothing was found, 1 when something was, 2 when the check could not be made.",
      .options = dockerfile_options(),
      .id = kCheck,
      .completion = Completion::kDirectory};
  Option format = with_fallback(text("format", "Form of the report", "form"), "text");
  format.choices = {"text", "json", "sarif", "github"};
  command.options.push_back(std::move(format));
  command.options.push_back(flag("fix", "Rewrite what has one right answer; every other byte stays"));
  command.options.push_back(flag("with-images", "Let the daemon look base images up"));
  return command;
}

Command explain_command() {
  Command command{
      .name = "explain",
      .summary = "show what a build would do, before it does anything",
      .arguments = "[CONTEXT|Dockerfile]",
      .description =
          "Stages and steps, what can run side by side, what each step's cache key is made of, what the upload\n"
          "of the context would hold, and what a change would make run again. Needs no daemon.",
      .options = dockerfile_options(),
      .id = kExplain,
      .completion = Completion::kFile};
  Option changed = list("if-changed", "What runs again when this file of the context changes", "path");
  changed.completion = Completion::kFile;
  command.options.push_back(std::move(changed));
  command.options.push_back(list("if-arg", "What runs again when this build argument changes", "name[=value]"));
  Option format = with_fallback(text("format", "Form of the answer", "form"), "text");
  format.choices = {"text", "json", "dot", "svg"};
  command.options.push_back(std::move(format));
  command.options.push_back(
      flag("with-images", "Ask registries for base images, for their environment and ONBUILD triggers"));
  return command;
}

Command prune_command() {
  return {.name = "prune",
          .summary = "clean up build cache",
          .options = {{.name = "keep-duration",
                       .kind = K::kDuration,
                       .help = "Keep what was used within this time",
                       .value_name = "duration"},
                      {.name = "keep-storage",
                       .kind = K::kNumber,
                       .help = "Keep data below this limit (in MB)",
                       .value_name = "MB"},
                      {.name = "keep-storage-min",
                       .kind = K::kNumber,
                       .help = "Always allow data up to this limit (in MB)",
                       .value_name = "MB"},
                      {.name = "free-storage",
                       .kind = K::kNumber,
                       .help = "Keep so much of the disk free (in MB)",
                       .value_name = "MB"},
                      filter_option(),
                      flag("all", "Include internal and frontend records"),
                      verbose_option(),
                      format_option()},
          .id = kPrune};
}

Command why_command() {
  return {.name = "why",
          .summary = "tell why steps of a build were not found in the cache",
          .arguments = "[ref] [step]",
          .description =
              "Without ref the build that ended last is meant. A step is named by a part of its "
              "text or its digest.",
          .options = {text("format", "json, or a Go template", "format")},
          .id = kWhy};
}

Command debug_command() {
  return {
      .name = "debug",
      .summary = "look into a daemon and its builds",
      .commands = {
          {.name = "dump-llb",
           .summary = "print a graph; needs no daemon. Reads standard input without a file",
           .arguments = "[file]",
           .options = {flag("dot", "Print in dot's language")},
           .id = kDebugDumpLlb,
           .completion = Completion::kFile},
          {.name = "dump-metadata",
           .summary = "print the daemon's metadata; the daemon must not run",
           .options =
               {{.name = "root", .help = "State directory", .value_name = "dir", .completion = Completion::kDirectory}},
           .id = kDebugDumpMetadata},
          {.name = "workers",
           .summary = "list workers",
           .options = {filter_option(), verbose_option(), format_option()},
           .id = kDebugWorkers},
          {.name = "info", .summary = "tell the daemon's version", .options = {format_option()}, .id = kDebugInfo},
          {.name = "monitor",
           .summary = "follow builds as they start and end",
           .options = {flag("completed", "Show completed builds too"), text("ref", "Only this build", "ref")},
           .id = kDebugMonitor},
          {.name = "logs",
           .summary = "show the progress and logs of a build",
           .arguments = "<ref>",
           .options = {progress_option(), flag("trace", "Show the build's OpenTelemetry trace")},
           .id = kDebugLogs},
          {.name = "ctl",
           .summary = "keep or delete the record of a build",
           .arguments = "<ref>",
           .options = {flag("pin", "Keep the record"), flag("unpin", "Let the record be collected"),
                       flag("delete", "Delete the record")},
           .id = kDebugCtl},
          {.name = "get", .summary = "print a blob of the content store", .arguments = "<digest>", .id = kDebugGet},
          why_command(),
          {.name = "histories",
           .summary = "list records of builds",
           .options = {format_option()},
           .id = kDebugHistories}}};
}

std::vector<Command> common_commands() {
  return {
      {.name = "du",
       .summary = "disk usage",
       .options = {filter_option(), verbose_option(), format_option()},
       .id = kDiskUsage},
      prune_command(),
      {.name = "prune-histories",
       .summary = "delete the records of builds that are not pinned",
       .options = {format_option()},
       .id = kPruneHistories},
      debug_command(),
      {.name = "dial-stdio",
       .summary = "carry standard input and output to the daemon; for programs",
       .hidden = true,
       .id = kDialStdio},
      {.name = "completion", .summary = "print a completion script", .arguments = "bash|zsh|fish", .id = kCompletion},
      {.name = "man", .summary = "print the manual page", .hidden = true, .id = kMan}};
}

Command make_table(std::string name, std::vector<Command> builds) {
  Command root{
      .name = std::move(name), .summary = "build utility", .options = global_options(), .commands = std::move(builds)};
  for (Command& command : common_commands()) root.commands.push_back(std::move(command));
  if (root.name == "kiln") root.commands.push_back(why_command());
  return root;
}

}  // namespace

const Command& kiln_table() {
  static const Command table =
      make_table("kiln", {quick_build_command(), build_command("solve", ""), check_command(), explain_command()});
  return table;
}

const Command& buildctl_table() {
  static const Command table = make_table("buildctl", {build_command("build", "b")});
  return table;
}

}  // namespace kiln::client
