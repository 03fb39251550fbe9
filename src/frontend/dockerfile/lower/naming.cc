#include "frontend/dockerfile/lower/naming.h"

#include <cmath>

#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"

namespace kiln::frontend::dockerfile {
namespace {

// The platform that TARGET… variables in scope speak of.
std::optional<Platform> platform_of(const graph::build::EnvList& env) {
  Platform out;
  bool set = false;
  for (const auto& name : env.names()) {
    if (name == "TARGETPLATFORM") {
      auto platform = Platform::parse(env.get(name).value_or(""));
      if (platform.ok()) return *platform;
    }
    std::string* member = name == "TARGETOS"        ? &out.os
                          : name == "TARGETARCH"    ? &out.architecture
                          : name == "TARGETVARIANT" ? &out.variant
                                                    : nullptr;
    if (member == nullptr) continue;
    *member = env.get(name).value_or("");
    set = true;
  }
  if (!set) return std::nullopt;
  return out;
}

// "->arm64" when the step builds for something else than it runs on.
std::string cross_suffix(const Platform& base, std::optional<Platform> target) {
  if (!target) return "";
  if (target->os.empty()) target->os = base.os;
  if (target->architecture.empty()) target->architecture = base.architecture;
  const Platform to = target->normalized();
  if (to.os != base.os) return "->" + to.str_full();
  if (to.architecture == base.architecture) return "";
  return "->" + to.architecture + (to.variant.empty() ? "" : "/" + to.variant);
}

std::string unit_fraction(std::int64_t whole, std::int64_t fraction, int digits, std::string_view unit) {
  std::string out = std::to_string(whole);
  if (fraction != 0) {
    std::string rest = fmt::format("{:0{}}", fraction, digits);
    while (rest.ends_with('0')) rest.pop_back();
    out += "." + rest;
  }
  return out + std::string(unit);
}

}  // namespace

std::string prefixed_name(StageState& stage, std::string_view text, bool show_platform,
                          const std::optional<Platform>& platform, const graph::build::EnvList& env) {
  if (stage.step_total == 0) return std::string(text);
  std::string out = "[";
  if (show_platform && platform) out += platform->str_full() + cross_suffix(*platform, platform_of(env)) + " ";
  if (!stage.name.empty()) out += stage.name + " ";
  const int width = static_cast<int>(1 + std::log10(static_cast<double>(stage.step_total)));
  out += fmt::format("{:>{}}/{}] ", ++stage.step_index, width, stage.step_total);
  if (stage.step_on_build) out += "ONBUILD ";
  return out + std::string(text);
}

std::string upper_keyword(std::string_view text) {
  auto space = text.find(' ');
  if (space == std::string_view::npos) return to_upper(text);
  return to_upper(text.substr(0, space)) + std::string(text.substr(space));
}

std::string shown_command(const WordLexer& lexer, std::string_view code, const Environment& env) {
  auto text = lexer.expand_text(code, env);
  return upper_keyword(text.ok() ? *text : std::string(code));
}

void add_history(StageState& stage, std::string created_by, Layer layer, Mark mark, const std::optional<Time>& epoch) {
  if (mark == Mark::kBuildkit) created_by += " # buildkit";
  stage.image.history.push_back({.created = epoch,
                                 .created_by = std::move(created_by),
                                 .comment = "buildkit.dockerfile.v0",
                                 .empty_layer = layer == Layer::kNone});
}

std::string quoted_list(const std::vector<std::string>& items) {
  std::vector<std::string> out;
  for (const auto& item : items) out.push_back(quote(item));
  return "[" + join(out, " ") + "]";
}

std::string plain_list(const std::vector<std::string>& items) { return "[" + join(items, " ") + "]"; }

std::string go_duration(Duration duration) {
  const std::int64_t ns = duration.count();
  if (ns == 0) return "0s";
  if (ns < 0) return "-" + go_duration(-duration);
  if (ns < 1000) return fmt::format("{}ns", ns);
  if (ns < 1000000) return unit_fraction(ns / 1000, ns % 1000, 3, "µs");
  if (ns < 1000000000) return unit_fraction(ns / 1000000, ns % 1000000, 6, "ms");
  const std::int64_t seconds = ns / 1000000000;
  std::string out = unit_fraction(seconds % 60, ns % 1000000000, 9, "s");
  if (seconds >= 60) out = fmt::format("{}m", seconds / 60 % 60) + out;
  if (seconds >= 3600) out = fmt::format("{}h", seconds / 3600) + out;
  return out;
}

std::vector<std::string> with_shell(const content::ImageConfig& image, const std::vector<std::string>& args) {
  std::vector<std::string> out = image.config.shell;
  if (out.empty()) {
    out = image.platform.os == "windows" ? std::vector<std::string>{"cmd", "/S", "/C"}
                                         : std::vector<std::string>{"/bin/sh", "-c"};
  }
  out.push_back(join(args, " "));
  return out;
}

}  // namespace kiln::frontend::dockerfile
