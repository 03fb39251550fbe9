// `kiln explain`: what a build would do, drawn before it does anything.
#include <fmt/format.h>

#include <algorithm>

#include "base/gopath.h"
#include "base/patterns.h"
#include "base/text.h"
#include "base/value.h"
#include "client/dockerfile/explain.h"
#include "client/dockerfile/image_lookup.h"
#include "client/dockerfile/input.h"
#include "client/internal/commands.h"
#include "session/file_tree.h"

namespace kiln::client {
namespace {

namespace df = frontend::dockerfile;

constexpr std::size_t kLargestMax = 5;

Status add_up(const std::string& dir, const session::TreeFilter& filter, std::size_t& files, std::int64_t& bytes,
              std::vector<std::pair<std::string, std::int64_t>>* all, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto tree, session::DirTree::at(dir, filter));
  return tree->walk(
      [&](session::FileStat& stat) {
        if (stat.is_dir()) return ok();
        ++files;
        if (stat.is_file() && !stat.is_hard_link()) bytes += stat.size;
        if (all != nullptr && stat.is_file()) all->emplace_back(stat.path, stat.size);
        return ok();
      },
      stop);
}

Result<ContextContents> look_at_context(const df::BuildPlan& plan, const std::string& dir, std::stop_token stop) {
  ContextContents out;
  if (!plan.uses_context) return out;
  session::TreeFilter filter{.exclude_patterns = plan.ignore_patterns, .follow_paths = plan.follow_paths};
  KILN_RETURN_IF_ERROR(add_up(dir, filter, out.files, out.bytes, &out.largest, stop));
  KILN_RETURN_IF_ERROR(add_up(dir, {}, out.files_there, out.bytes_there, nullptr, stop));
  std::sort(out.largest.begin(), out.largest.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (out.largest.size() > kLargestMax) out.largest.resize(kLargestMax);
  return out;
}

class Explain {
 public:
  Explain(const Invocation& call, DockerfileInput input) : call_(call), input_(std::move(input)) {}

  Result<Explanation> run() {
    LocalBridge bridge(input_.bridge);
    KILN_ASSIGN_OR_RETURN(out_.plan, df::plan_build(bridge, call_.stop));
    for (const std::string& image : bridge.images()) out_.images_not_looked_up.push_back(image);
    KILN_ASSIGN_OR_RETURN(out_.context, look_at_context(out_.plan, input_.context, call_.stop));
    for (const std::string& path : call_.line.list("if-changed")) ask_file(path);
    for (const std::string& arg : call_.line.list("if-arg")) KILN_RETURN_IF_ERROR(ask_arg(arg));
    return std::move(out_);
  }

 private:
  void ask_file(const std::string& given) {
    // A path of the caller's directory or of the context, whichever it names.
    std::string path = clean_path(given);
    if (auto inside = relative_path(clean_path(input_.context), path);
        inside && path_within(clean_path(input_.context), path))
      path = *inside;
    Question question{path + " changes", "", out_.plan.changed_by_file(path)};
    auto ignored = PatternMatcher::make(out_.plan.ignore_patterns);
    if (ignored.ok() && ignored->matches_or_parent(path)) {
      question.note = "the ignore file keeps it away";
    } else if (question.affected.direct.empty()) {
      question.note = "no needed step reads it";
    }
    if (clean_path(input_.path) == clean_path(given)) {
      question.note = "it is the Dockerfile itself: a step runs again when its own words change, and all behind it";
    }
    out_.questions.push_back(std::move(question));
  }

  // The same file planned with another value; what differs is what the arg decides.
  Status ask_arg(const std::string& given) {
    auto [name, value] = split_once(given, '=');
    const bool has_value = name.size() < given.size();
    std::vector<std::string> values = has_value
                                          ? std::vector<std::string>{std::string(value)}
                                          : std::vector<std::string>{"kiln-other", "0", "1", "linux/arm64", "true"};
    Status last = ok();
    for (const std::string& other : values) {
      LocalBridge bridge(with_build_arg(input_.bridge, std::string(name), other));
      auto plan = df::plan_build(bridge, call_.stop);
      if (!plan.ok()) {
        last = plan.status();
        continue;
      }
      Question question{fmt::format("{} changes{}", name, has_value ? fmt::format(" to {}", quote(other)) : ""), "",
                        out_.plan.changed_to(*plan)};
      if (question.affected.direct.empty()) question.note = "no needed step uses it";
      out_.questions.push_back(std::move(question));
      return ok();
    }
    return annotate(last, fmt::format("plan with another value of {}; name one with --if-arg {}=value", name, name));
  }

  const Invocation& call_;
  DockerfileInput input_;
  Explanation out_;
};

}  // namespace

Status run_explain(const Invocation& call) {
  const std::string format = call.line.text("format");
  static const std::map<std::string, std::string (*)(const Explanation&)> kFormats = {
      {"text", explain_text}, {"json", explain_json}, {"dot", explain_dot}, {"svg", explain_svg}};
  auto writer = kFormats.find(format);
  if (writer == kFormats.end()) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("unknown format {}; there are text, json, dot and svg", quote(format)));
  }
  KILN_ASSIGN_OR_RETURN(DockerfileInput input, read_dockerfile_input(call));
  std::optional<ImageLookup> images;
  if (call.line.on("with-images")) {
    images.emplace(call.environment);
    input.bridge.look_up = [&images](const std::string& ref, const Platform& platform, std::stop_token stop) {
      return images->config(ref, platform, std::move(stop));
    };
  }
  KILN_ASSIGN_OR_RETURN(Explanation explanation, Explain(call, std::move(input)).run());
  return print(writer->second(explanation));
}

}  // namespace kiln::client
