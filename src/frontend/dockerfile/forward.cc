// Builds that another frontend is to do: `# syntax=`, BUILDKIT_SYNTAX, "frontend.caps".
#include <fmt/format.h>

#include "base/text.h"
#include "frontend/dockerfile/build_run.h"
#include "frontend/dockerfile/directives.h"
#include "frontend/dockerfile/places.h"
#include "wire/errdefs.pb.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr const char* kSyntaxArg = "build-arg:BUILDKIT_SYNTAX";
constexpr const char* kCapDetail = "github.com/moby/buildkit/errdefs.FrontendCap";
constexpr std::string_view kOurCaps[] = {
    "moby.buildkit.frontend.inputs",
    "moby.buildkit.frontend.subrequests",
    "moby.buildkit.frontend.contexts",
    "moby.buildkit.frontend.gitquerystring",
};

Result<SolveResult> ask_gateway(BuildRun& run, const std::string& image, const std::string& command,
                                std::stop_token stop) {
  SolveRequest request;
  request.frontend = "gateway.v0";
  request.frontend_opts = run.request.opts;
  request.frontend_opts["cmdline"] = command;
  request.frontend_opts["source"] = image;
  if (run.bridge.options().caps.supports(graph::kCapFrontendInputs)) {
    auto inputs = run.bridge.inputs(stop);
    if (!inputs.ok()) return annotate(inputs.status(), "failed to get frontend inputs");
    request.frontend_inputs = *std::move(inputs);
  }
  return run.bridge.solve(request, stop);
}

}  // namespace

CapsCheck check_frontend_caps(const std::string& wanted) {
  CapsCheck out{ok()};
  if (wanted.empty()) return out;
  for (std::string_view cap : split(wanted, ',')) {
    const std::string_view name = split_once(cap, '+').first;
    if (std::find(std::begin(kOurCaps), std::end(kOurCaps), name) != std::end(kOurCaps)) continue;
    out.status = user_error(Code::kUnimplemented, fmt::format("unsupported frontend capability {}", name));
    errdefs::FrontendCap detail;
    detail.set_name(std::string(name));
    set_detail(out.status, kCapDetail, detail.SerializeAsString());
    out.forward = cap.find("+forward") != std::string_view::npos;
    if (!out.forward) return out;
  }
  return out;
}

Result<std::optional<SolveResult>> forward_build(BuildRun& run, std::stop_token stop) {
  if (run.request.has("cmdline")) return std::optional<SolveResult>();  // we are the forwarded one
  if (run.request.has(kSyntaxArg)) {
    const std::string& command = run.request.opt(kSyntaxArg);
    const std::string image(split_once(trim(command), ' ').first);
    auto result = ask_gateway(run, image, command, stop);
    if (result.ok()) return std::optional(*std::move(result));
    if (has_source_detail(result.status())) return result.status();
    return annotate(result.status(), fmt::format("failed with {} = {}", kSyntaxArg, command));
  }
  auto syntax = detect_syntax(run.build_file.text->data);
  if (!syntax) return std::optional<SolveResult>();
  auto result = ask_gateway(run, syntax->word, syntax->value, stop);
  if (result.ok()) return std::optional(*std::move(result));
  if (has_source_detail(result.status())) return result.status();
  return with_source_details(with_ranges(result.status(), syntax->ranges), run.build_file.text);
}

}  // namespace kiln::frontend::dockerfile
