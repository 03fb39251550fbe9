#include "frontend/dockerfile/frontend.h"

#include "frontend/dockerfile/build_run.h"
#include "frontend/dockerfile/places.h"

namespace kiln::frontend::dockerfile {
namespace {

class DockerfileFrontend final : public Frontend {
 public:
  Result<SolveResult> build(Bridge& bridge, std::stop_token stop) const override {
    BuildRun run(bridge);
    KILN_ASSIGN_OR_RETURN(run.request, read_request(bridge.options()));
    const CapsCheck caps = check_frontend_caps(run.request.opt("frontend.caps"));
    if (!caps.status.ok() && !caps.forward) return caps.status;
    run.contexts = std::make_unique<Contexts>(run.bridge, run.request);
    KILN_ASSIGN_OR_RETURN(run.build_file, run.contexts->build_file(stop));
    KILN_ASSIGN_OR_RETURN(auto forwarded, forward_build(run, stop));
    if (forwarded) return *std::move(forwarded);
    KILN_RETURN_IF_ERROR(caps.status);
    auto answered = answer_subrequest(run, stop);
    if (!answered.ok()) return without_ranges(answered.status());
    if (*answered) return **std::move(answered);
    auto result = build_platforms(run, stop);
    if (!result.ok()) return with_source_details(result.status(), run.build_file.text);
    return result;
  }
};

}  // namespace

Linter::Warn BuildRun::warn_client() {
  return [this](const LintRule& rule, const std::string& message, const Ranges& ranges) {
    Warning warning;
    warning.vertex = build_file.vertex;
    warning.short_text = lint_line(rule.name, message, ranges.empty() ? 0 : ranges.front().start.line);
    warning.detail = {std::string(rule.description)};
    warning.url = std::string(rule.url);
    warning.source = graph::SourceRef{build_file.text, graph_ranges(ranges)};
    // A client that does not take warnings still gets its build.
    (void)bridge.warn(warning);
  };
}

std::unique_ptr<Frontend> make_frontend() { return std::make_unique<DockerfileFrontend>(); }

}  // namespace kiln::frontend::dockerfile
