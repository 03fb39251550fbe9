#include "sandbox/cni_plugins.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/quote.h"
#include "base/text.h"
#include "host/command.h"
#include "host/fs.h"

namespace kiln::sandbox {
namespace {

using Json = nlohmann::json;

std::string text_at(const Json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// What a plug-in says on its standard output when it fails, else what it wrote to standard error.
std::string complaint(const host::CommandResult& done) {
  const Json said = Json::parse(done.output, nullptr, false);
  std::string text = text_at(said, "msg");
  if (const std::string details = text_at(said, "details"); !details.empty())
    text += (text.empty() ? "" : "; ") + details;
  if (text.empty()) text = trim(done.errors);
  return text.empty() ? fmt::format("exit code {}", done.code) : text;
}

}  // namespace

struct CniPlugins::Chain {
  std::string folder;
  std::vector<std::string> types;
  std::vector<Json> configs;  // with name and version
};

Result<CniPlugins> CniPlugins::load(const std::string& config_path, const std::string& program_folder) {
  Result<std::string> text = host::read_file(config_path, 1 << 20);
  if (!text.ok()) return annotate(text.status(), fmt::format("failed to read cni config {}", quote(config_path)));
  if (!host::exists(program_folder)) {
    return environment_error(
        Code::kNotFound,
        fmt::format("failed to read cni binary dir {}: there is no such directory", quote(program_folder)));
  }
  auto wrong = [&](std::string_view what) {
    return environment_error(Code::kInvalidArgument, fmt::format("cni config {}: {}", quote(config_path), what));
  };
  const Json config = Json::parse(*text, nullptr, false);
  if (!config.is_object()) return wrong("this is not a JSON object");
  const std::string name = text_at(config, "name");
  if (name.empty()) return wrong("it has no name");
  auto chain = std::make_shared<Chain>();
  chain->folder = program_folder;
  const bool list = config_path.ends_with(".conflist");
  Json plugins = Json::array({config});
  if (list) plugins = config.value("plugins", Json::array());
  if (!plugins.is_array() || plugins.empty()) return wrong("it has no plugins");
  for (Json& plugin : plugins) {
    const std::string type = text_at(plugin, "type");
    if (type.empty() || type.find('/') != std::string::npos) return wrong("a plugin has no valid type");
    plugin["name"] = name;
    plugin["cniVersion"] = config.contains("cniVersion") ? config["cniVersion"] : Json("0.3.1");
    chain->types.push_back(type);
    chain->configs.push_back(plugin);
  }
  CniPlugins out;
  out.chain_ = std::move(chain);
  return out;
}

Result<std::string> CniPlugins::call(std::size_t plugin, const char* command, const CniTarget& target,
                                     const std::string& previous, std::stop_token stop) const {
  const std::string& type = chain_->types[plugin];
  Json config = chain_->configs[plugin];
  if (!previous.empty()) config["prevResult"] = Json::parse(previous, nullptr, false);
  std::string args;
  if (!target.hostname.empty()) args = "IgnoreUnknown=1;K8S_POD_NAME=" + target.hostname;
  const host::Command run{
      .args = {fmt::format("{}/{}", chain_->folder, type)},
      .env = {fmt::format("CNI_COMMAND={}", command), "CNI_CONTAINERID=" + target.id, "CNI_NETNS=" + target.netns,
              "CNI_IFNAME=eth0", "CNI_ARGS=" + args, "CNI_PATH=" + chain_->folder},
      .input = config.dump()};
  auto failed = [&](std::string_view why) {
    return environment_error(Code::kFailedPrecondition,
                             fmt::format("plugin type={} failed ({}): {}", quote(type), to_lower(command), why));
  };
  Result<host::CommandResult> done = host::run_command(run, std::move(stop));
  if (is_cancelled(done.status())) return done.status();
  if (!done.ok()) return failed(message_of(done.status()));
  if (done->code != 0) return failed(complaint(*done));
  return std::move(done->output);
}

Result<std::string> CniPlugins::add(const CniTarget& target, std::stop_token stop) const {
  std::string result;
  for (std::size_t i = 0; i < chain_->types.size(); ++i) {
    Result<std::string> next = call(i, "ADD", target, result, stop);
    if (next.ok() && !Json::accept(*next)) {
      next = environment_error(Code::kFailedPrecondition,
                               fmt::format("plugin type={} gave no result", quote(chain_->types[i])));
    }
    if (next.ok()) {
      result = std::move(*next);
      continue;
    }
    (void)remove(target, result, {});  // a plug-in accepts that it did nothing
    return annotate(next.status(), "CNI setup error");
  }
  return result;
}

Status CniPlugins::remove(const CniTarget& target, const std::string& result, std::stop_token stop) const {
  Status first = ok();
  for (std::size_t i = chain_->types.size(); i-- > 0;) {
    const Status status = call(i, "DEL", target, result, stop).status();
    if (first.ok()) first = status;
  }
  return first;
}

std::string host_interface_of(const std::string& result) {
  const Json parsed = Json::parse(result, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("interfaces") || !parsed["interfaces"].is_array()) return {};
  std::string found;
  for (const Json& interface : parsed["interfaces"]) {
    const std::string name = text_at(interface, "name");
    if (!name.starts_with("veth") || !text_at(interface, "sandbox").empty()) continue;
    if (!found.empty()) return {};
    found = name;
  }
  return found;
}

}  // namespace kiln::sandbox
