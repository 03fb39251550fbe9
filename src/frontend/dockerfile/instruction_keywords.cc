#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/instructions.h"

namespace kiln::frontend::dockerfile {
namespace {

// In the order of Keyword.
constexpr std::array<std::string_view, 18> kNames = {
    "ADD",   "ARG",        "CMD",     "COPY", "ENTRYPOINT", "ENV",        "EXPOSE", "FROM",   "HEALTHCHECK",
    "LABEL", "MAINTAINER", "ONBUILD", "RUN",  "SHELL",      "STOPSIGNAL", "USER",   "VOLUME", "WORKDIR"};

// In the order of Instruction::body.
constexpr std::array<Keyword, 17> kBodies = {
    Keyword::kAdd,    Keyword::kArg,         Keyword::kCmd,   Keyword::kCopy,       Keyword::kEntrypoint, Keyword::kEnv,
    Keyword::kExpose, Keyword::kHealthcheck, Keyword::kLabel, Keyword::kMaintainer, Keyword::kOnbuild,    Keyword::kRun,
    Keyword::kShell,  Keyword::kStopSignal,  Keyword::kUser,  Keyword::kVolume,     Keyword::kWorkdir};
static_assert(std::variant_size_v<decltype(Instruction::body)> == kBodies.size());

}  // namespace

std::string_view keyword_name(Keyword keyword) { return kNames[static_cast<std::size_t>(keyword)]; }

std::optional<Keyword> find_keyword(std::string_view word) {
  auto at =
      std::find_if(kNames.begin(), kNames.end(), [&](std::string_view name) { return equals_ignore_case(name, word); });
  if (at == kNames.end()) return std::nullopt;
  return static_cast<Keyword>(at - kNames.begin());
}

const std::vector<std::string>& keyword_names() {
  static const std::vector<std::string> names(kNames.begin(), kNames.end());
  return names;
}

Keyword Instruction::keyword() const { return kBodies[body.index()]; }

std::string_view mount_type_name(MountType type) {
  static constexpr std::array<std::string_view, 5> kTypes = {"bind", "cache", "tmpfs", "secret", "ssh"};
  return kTypes[static_cast<std::size_t>(type)];
}

std::string_view sharing_name(Sharing sharing) {
  static constexpr std::array<std::string_view, 3> kModes = {"shared", "private", "locked"};
  return kModes[static_cast<std::size_t>(sharing)];
}

std::optional<std::size_t> find_stage(const std::vector<Stage>& stages, std::string_view name) {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (equals_ignore_case(stages[i].name, name)) return i;
  }
  return std::nullopt;
}

std::optional<std::size_t> stage_by_reference(const std::vector<Stage>& stages, std::string_view reference) {
  if (!reference.empty()) {
    if (auto named = find_stage(stages, reference)) return named;
  }
  std::optional<std::int64_t> index = parse_integer(reference);
  if (!index || *index < 0 || static_cast<std::size_t>(*index) >= stages.size()) return std::nullopt;
  return static_cast<std::size_t>(*index);
}

}  // namespace kiln::frontend::dockerfile
