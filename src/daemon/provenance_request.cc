// What was asked, as a predicate tells it: where the configuration came from, and the request itself.
#include <nlohmann/json.hpp>

#include "base/git_url.h"
#include "daemon/provenance_parts.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;
using Args = std::map<std::string, std::string>;

std::string context_key(const Args& args) {
  if (auto it = args.find("contextkey"); it != args.end() && !it->second.empty()) return it->second;
  if (auto input = args.find("input:context"); input != args.end() && !input->second.empty()) return "input:context";
  return "context";
}

// The context of a request, as the place its configuration came from, with what it resolved to. What
// is told here is taken out of `args`.
Json config_source(Args& args, const Capture& capture) {
  Json out = Json::object();
  if (auto it = args.find(context_key(args)); it != args.end() && !it->second.empty()) {
    const std::string plain = git_fragment_form(it->second, GitSubdir::kDrop);
    out["uri"] = redacted_url(it->second);
    for (const GitMaterial& git : capture.git) {
      if (git.url != plain && git.url != redacted_url(plain)) continue;
      out["uri"] = redacted_url(git_fragment_form(it->second, GitSubdir::kKeep));
      out["digest"] = commit_set(git.commit);
    }
    if (auto http = capture.http.find(it->second); http != capture.http.end()) out["digest"] = digest_set(http->second);
    args.erase(it);
  }
  if (auto it = args.find("filename"); it != args.end() && !it->second.empty()) {
    out["path"] = it->second;
    args.erase(it);
  }
  return out;
}

// Build arguments and labels may hold what is nobody's business; mode min leaves them out.
bool scrub(Args& args) {
  return std::erase_if(args, [](const auto& arg) {
           return arg.first.starts_with("build-arg:") || arg.first.starts_with("label:");
         }) > 0;
}

Json with_options(const std::map<std::string, bool>& ids) {
  Json out = Json::array();
  for (const auto& [id, optional] : ids) {
    out.push_back({{"id", id}});
    if (optional) out.back()["optional"] = true;
  }
  return out;
}

struct Told {
  Json config_source;
  Json parameters;
};

Json vcs_of(Args& args) {
  Json out = Json::object();
  for (auto it = args.begin(); it != args.end();) {
    if (!it->first.starts_with("vcs:")) {
      ++it;
      continue;
    }
    if (!it->second.empty())
      out[it->first.substr(4)] = it->first == "vcs:source" ? redacted_url(it->second) : it->second;
    it = args.erase(it);
  }
  return out;
}

// A request and those behind its inputs. Inputs can hold no loop: each was made before its user.
Told tell(const RequestDescription& request, const Capture& capture, ProvenanceMode mode, bool& scrubbed, Json* vcs) {
  Told out;
  Args args = request.args;
  out.config_source = config_source(args, capture);
  if (vcs != nullptr) *vcs = vcs_of(args);
  if (mode == ProvenanceMode::kMin) scrubbed |= scrub(args);
  out.parameters = Json::object();
  if (!request.frontend.empty()) out.parameters["frontend"] = request.frontend;
  if (!args.empty()) out.parameters["args"] = args;
  for (const auto& [name, input] : request.inputs) {
    Told inner = tell(*input, capture, mode, scrubbed, nullptr);
    out.parameters["inputs"][name] = {{"configSource", std::move(inner.config_source)},
                                      {"request", std::move(inner.parameters)}};
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> provenance_args(const std::map<std::string, std::string>& opts) {
  Args out;
  const std::string context = context_key(opts);
  for (const auto& [key, value] : opts) {
    if (key == "cgroup-parent" || key == "image-resolve-mode" || key == "platform" || key == "cache-imports") continue;
    if (key.starts_with("attest:")) continue;
    out.emplace(key, key == context || key.starts_with("context:") ? redacted_url(value) : value);
  }
  return out;
}

RequestJson request_json(const Capture& capture, ProvenanceMode mode) {
  RequestJson out;
  Json& parameters = out.parameters;
  if (capture.request) {
    Told told = tell(*capture.request, capture, mode, out.scrubbed, &out.vcs);
    out.config_source = std::move(told.config_source);
    parameters = std::move(told.parameters);
  }
  if (capture.root) {
    Told root = tell(*capture.root, capture, mode, out.scrubbed, nullptr);
    parameters["root"] = {{"configSource", std::move(root.config_source)}, {"request", std::move(root.parameters)}};
  }
  if (mode == ProvenanceMode::kMax && !capture.secrets.empty()) parameters["secrets"] = with_options(capture.secrets);
  if (mode == ProvenanceMode::kMax && !capture.ssh.empty()) parameters["ssh"] = with_options(capture.ssh);
  for (const std::string& name : capture.locals) parameters["locals"].push_back({{"name", name}});
  return out;
}

}  // namespace kiln::daemon
