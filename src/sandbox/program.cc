#include "sandbox/program.h"

#include <unordered_map>

#include "base/text.h"

namespace kiln::sandbox {
namespace {

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(text.c_str());
  out.push_back(nullptr);
  return out;
}

}  // namespace

std::vector<std::string> effective_env(const std::vector<std::string>& env, std::string_view home) {
  std::vector<std::string> out;
  std::unordered_map<std::string_view, std::size_t> places;
  out.reserve(env.size() + 1);
  for (const std::string& entry : env) {
    const auto [name, value] = split_once(entry, '=');
    auto [place, fresh] = places.emplace(name, out.size());
    if (fresh) {
      out.push_back(entry);
    } else {
      out[place->second] = entry;
    }
  }
  // A name without a value takes the variable away.
  std::erase_if(out, [](const std::string& entry) { return entry.find('=') == std::string::npos; });
  const bool has_home =
      std::any_of(out.begin(), out.end(), [](const std::string& e) { return e.starts_with("HOME="); });
  if (!has_home && !home.empty()) out.push_back(fmt::format("HOME={}", home));
  return out;
}

Program::Program(std::vector<std::string> args, const std::vector<std::string>& env, std::string_view home)
    : args_(std::move(args)), env_(effective_env(env, home)) {
  const std::string_view name = args_.empty() ? std::string_view() : args_[0];
  if (name.find('/') != std::string_view::npos) {
    paths_.emplace_back(name);
  } else {
    std::string_view path;
    for (const std::string& entry : env_) {
      if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
    }
    for (std::string_view folder : split(path, ':')) {
      if (!folder.empty()) paths_.push_back(fmt::format("{}/{}", folder, name));
    }
  }
  argv_ = pointers(args_);
  envp_ = pointers(env_);
  candidates_ = pointers(paths_);
}

}  // namespace kiln::sandbox
