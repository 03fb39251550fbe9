// Where the text and the files of a build come from: the main context, the Dockerfile in it, named
// contexts and ignore files.
//
//   Contexts contexts(bridge, request);
//   KILN_ASSIGN_OR_RETURN(BuildFile file, contexts.build_file(stop));
//   KILN_ASSIGN_OR_RETURN(State files, contexts.main({"src"}, stop));
//
// A context is a directory of the client, a git repository, an archive or file over http, an image,
// a layout of the client, or a graph given as input. Reference: docs of `docker buildx build`,
// "Build context" and "--build-context".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "content/image_config.h"
#include "frontend/bridge.h"
#include "frontend/dockerfile/request.h"
#include "graph/build/state.h"
#include "graph/source_map.h"

namespace kiln::frontend::dockerfile {

// The build file and the source op that gave it.
struct BuildFile {
  std::shared_ptr<const graph::SourceInfo> text;
  Digest vertex;
};

struct NamedOptions {
  std::optional<Platform> platform;
  std::string resolve_mode;
  // Asked when the graph is marshalled: the paths that are used of a directory; empty = all.
  std::function<std::vector<std::string>()> follow_paths;
};

struct LoadedContext {
  graph::build::State state;
  std::optional<content::ImageConfig> image;
};

// Any thread. Bridge and Request must outlive it.
class Contexts {
 public:
  Contexts(Bridge& bridge, const Request& request) : bridge_(bridge), request_(request), opts_(request.opts) {}

  // Reads the build file. Blocks.
  Result<BuildFile> build_file(std::stop_token stop);
  // The files of the build; `follow_paths` are the only ones wanted (empty: all).
  Result<graph::build::State> main(const std::vector<std::string>& follow_paths, std::stop_token stop);
  // Patterns of the ignore file of a local main context; none for other contexts.
  Result<std::vector<std::string>> ignore_patterns(std::stop_token stop);
  // Whether options name a context of that name (for that platform, or for any).
  Result<bool> has_named(std::string_view name, const NamedOptions& options);
  // Loads it; nothing when there is none.
  Result<std::optional<LoadedContext>> load_named(std::string_view name, const NamedOptions& options,
                                                  std::stop_token stop);

  Bridge& bridge() { return bridge_; }
  const Request& request() const { return request_; }

 private:
  // What the options say about the main context, found out once.
  struct Main {
    std::optional<graph::build::State> context;     // set when not local
    std::optional<graph::build::State> dockerfile;  // where the build file is, when not local
    std::string context_local = "context";
    std::string dockerfile_local = "dockerfile";
    std::string filename = "Dockerfile";
    bool local_dockerfile = false;  // the client insists
  };
  struct Named {
    std::string input;  // "docker-image://…"
    std::string name;
    std::string key;  // name, or name::platform
  };

  Result<const Main*> main_context(std::stop_token stop);
  Result<Main> find_main(std::stop_token stop);
  Status use_http(Main& main, const std::string& url, std::stop_token stop);
  Status use_inputs(Main& main, std::stop_token stop);
  graph::build::State dockerfile_source(const Main& main);
  Result<std::string> read_dockerfile(const Main& main, Ref& ref, std::stop_token stop);
  Result<std::vector<std::string>> ignore_patterns(const Main& main, std::stop_token stop);

  std::optional<std::string> option(const std::string& name);
  Result<std::optional<Named>> find_named(std::string_view name, const NamedOptions& options);
  Result<std::optional<LoadedContext>> load(const Named& named, const NamedOptions& options, int hops,
                                            std::stop_token stop);
  Result<LoadedContext> load_image(const Named& named, const NamedOptions& options, std::stop_token stop);
  // The config of an image by its reference; errors say which image it was.
  Result<ImageConfig> resolve_image(const std::string& ref, const ResolveOptions& options, std::stop_token stop);
  Result<LoadedContext> load_layout(const Named& named, const NamedOptions& options, std::stop_token stop);
  Result<LoadedContext> load_local(const Named& named, const NamedOptions& options, std::stop_token stop);
  Result<LoadedContext> load_input(const Named& named, std::stop_token stop);

  Bridge& bridge_;
  const Request& request_;
  std::mutex mutex_;                         // guards everything below
  std::map<std::string, std::string> opts_;  // a policy may redirect a named context
  std::optional<Result<Main>> main_;
  std::optional<std::string> ignore_text_;
  std::string ignore_name_;
};

// A git repository named by text such as "https://host/repo.git#ref:dir"; nothing when it names none.
// `keep_git` overrides the text.
std::optional<Result<graph::build::State>> git_context(const std::string& text, std::optional<bool> keep_git,
                                                       bool commit_times);

// The state with environment, directory and platform of the image put on it.
graph::build::State with_image_config(const graph::build::State& state, const content::ImageConfig& image);

// An input as a state. InvalidArgument for a definition that says nothing at all, which clients send
// by mistake.
Result<graph::build::State> input_state(const graph::Definition& definition);

// Marshals and solves a state, and gives its one tree.
Result<RefPtr> solve_state(Bridge& bridge, const graph::build::State& state, bool evaluate, std::stop_token stop);

}  // namespace kiln::frontend::dockerfile
