// Dockerfiles and what stands in them: statements, instructions with their checks, mounts, triggers,
// words with variables, ignore files.
#include "frontend/dockerfile/expand.h"
#include "frontend/dockerfile/ignore_file.h"
#include "frontend/dockerfile/instructions.h"
#include "frontend/dockerfile/lint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace dockerfile = kiln::frontend::dockerfile;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  dockerfile::Linter linter({}, [](const dockerfile::LintRule&, const std::string&, const dockerfile::Ranges&) {});
  (void)dockerfile::parse_dockerfile(text, linter);
  (void)dockerfile::parse_trigger(text, {});
  (void)dockerfile::parse_mount(text, nullptr);
  (void)dockerfile::parse_lint_options(text);
  (void)dockerfile::parse_ignore_file(text);
  return 0;
}
