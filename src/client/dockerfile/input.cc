#include "client/dockerfile/input.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gopath.h"
#include "base/text.h"
#include "client/build_request.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::client {
namespace {

constexpr std::size_t kDockerfileMax = 64 << 20;

bool is_dir(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The Dockerfile of a context, or what stands in for it.
Result<std::string> default_file(const std::string& context) {
  for (const char* name : {"Dockerfile", "dockerfile"}) {
    std::string path = join_path(context, name);
    if (host::exists(path)) return path;
  }
  return user_error(Code::kNotFound,
                    fmt::format("there is no Dockerfile at '{}'; name it with -f", join_path(context, "Dockerfile")));
}

Status set_file(DockerfileInput& input) {
  if (input.path == "-") {
    KILN_ASSIGN_OR_RETURN(input.bridge.build_file, host::read_to_end(STDIN_FILENO, kDockerfileMax));
    input.bridge.dirs["dockerfile"] = input.context;
    return ok();
  }
  if (!host::exists(input.path))
    return user_error(Code::kNotFound, fmt::format("there is no Dockerfile at '{}'", input.path));
  if (is_dir(input.path))
    return user_error(Code::kInvalidArgument, fmt::format("'{}' is a directory, not a Dockerfile", input.path));
  input.bridge.dirs["dockerfile"] = dir_name(input.path);
  input.bridge.opts["filename"] = std::string(base_name(input.path));
  return ok();
}

Status set_options(const Invocation& call, DockerfileInput& input) {
  std::vector<std::string> words;
  for (const std::string& arg : call.line.list("build-arg")) words.push_back("build-arg:" + arg);
  KILN_ASSIGN_OR_RETURN(input.bridge.opts, parse_options(words, call.environment));
  if (std::string target = call.line.text("target"); !target.empty()) input.bridge.opts["target"] = target;
  if (auto platforms = call.line.list("platform"); !platforms.empty())
    input.bridge.opts["platform"] = join(platforms, ",");
  KILN_ASSIGN_OR_RETURN(Attributes contexts, parse_pairs(call.line.list("build-context")));
  for (const auto& [name, source] : contexts) {
    const bool dir = is_dir(source);
    input.bridge.opts["context:" + name] = dir ? "local:" + name : source;
    if (dir) input.bridge.dirs[name] = source;
  }
  return ok();
}

}  // namespace

Result<DockerfileInput> read_dockerfile_input(const Invocation& call) {
  const auto& arguments = call.line.arguments();
  if (arguments.size() > 1) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("{} takes one context, found {}: {}", call.line.command().name, arguments.size(),
                                  join(arguments, " ")));
  }
  DockerfileInput input;
  KILN_RETURN_IF_ERROR(set_options(call, input));
  input.context = arguments.empty() ? "." : arguments[0];
  input.path = call.line.text("file");
  if (!is_dir(input.context)) {
    if (!host::exists(input.context))
      return user_error(Code::kNotFound,
                        fmt::format("there is neither a directory nor a Dockerfile at '{}'", input.context));
    if (!input.path.empty())
      return user_error(Code::kInvalidArgument, fmt::format("context '{}' is not a directory", input.context));
    input.path = input.context;
    input.context = dir_name(input.path);
  }
  if (input.path.empty()) {
    KILN_ASSIGN_OR_RETURN(input.path, default_file(input.context));
  }
  KILN_RETURN_IF_ERROR(set_file(input));
  input.bridge.dirs["context"] = input.context;
  return input;
}

LocalBridgeOptions with_build_arg(LocalBridgeOptions options, const std::string& name, const std::string& value) {
  options.opts["build-arg:" + name] = value;
  return options;
}

}  // namespace kiln::client
