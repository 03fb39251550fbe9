#include "frontend/dockerfile/lower/global_args.h"

#include "base/text.h"
#include "frontend/dockerfile/lower/naming.h"

namespace kiln::frontend::dockerfile {
namespace {

// The default of an ARG, and what it was made of.
Status expand_default(const WordLexer& lexer, const graph::build::EnvList& env, ArgEntry& entry, ArgInfo& info,
                      const GlobalArgs& known) {
  KILN_ASSIGN_OR_RETURN(Expansion expansion, lexer.expand(*entry.value, StateEnvironment(env)));
  entry.value = expansion.text;
  info.needs = expansion.used;
  if (info.needs.erase(entry.key) == 0) return ok();
  // ARG A=${A}x: what the former A was made of counts on.
  if (auto former = known.infos.find(entry.key); former != known.infos.end()) {
    info.needs.insert(former->second.needs.begin(), former->second.needs.end());
  }
  return ok();
}

}  // namespace

graph::build::EnvList platform_args(const Platform& build, const Platform& target, const BuildArgs& overrides,
                                    const std::string& target_stage) {
  const std::pair<const char*, std::string> values[] = {
      {"BUILDPLATFORM", build.str()},
      {"BUILDOS", build.os},
      {"BUILDOSVERSION", build.os_version},
      {"BUILDARCH", build.architecture},
      {"BUILDVARIANT", build.variant},
      {"TARGETPLATFORM", target.str_full()},
      {"TARGETOS", target.os},
      {"TARGETOSVERSION", target.os_version},
      {"TARGETARCH", target.architecture},
      {"TARGETVARIANT", target.variant},
      {"TARGETSTAGE", target_stage.empty() ? "default" : target_stage},
  };
  graph::build::EnvList env;
  for (const auto& [name, value] : values) {
    auto own = overrides.find(name);
    env.set(name, own == overrides.end() ? value : own->second);
  }
  return env;
}

Result<GlobalArgs> read_global_args(graph::build::EnvList env, const WordLexer& lexer,
                                    const std::vector<Instruction>& args, const BuildArgs& build_args) {
  GlobalArgs out{std::move(env), {}};
  for (const auto& instruction : args) {
    for (ArgEntry entry : std::get<Arg>(instruction.body).entries) {
      ArgInfo info{.ranges = instruction.ranges};
      if (auto given = build_args.find(entry.key); given != build_args.end()) {
        entry.value = given->second;
      } else if (entry.value) {
        auto status = expand_default(lexer, out.env, entry, info, out);
        if (!status.ok()) return with_ranges(status, instruction.ranges);
      }
      if (entry.value) {
        out.env.set(entry.key, *entry.value);
        info.value = *entry.value;
      }
      info.definition = entry;
      out.infos[entry.key] = std::move(info);
    }
  }
  return out;
}

std::optional<graph::ProxyEnv> proxy_from(const BuildArgs& build_args) {
  graph::ProxyEnv proxy;
  bool any = false;
  for (const auto& [key, value] : build_args) {
    const std::string name = to_lower(key);
    std::string* member = name == "http_proxy"    ? &proxy.http_proxy
                          : name == "https_proxy" ? &proxy.https_proxy
                          : name == "ftp_proxy"   ? &proxy.ftp_proxy
                          : name == "no_proxy"    ? &proxy.no_proxy
                          : name == "all_proxy"   ? &proxy.all_proxy
                                                  : nullptr;
    if (member == nullptr) continue;
    *member = value;
    any = true;
  }
  if (!any) return std::nullopt;
  return proxy;
}

}  // namespace kiln::frontend::dockerfile
