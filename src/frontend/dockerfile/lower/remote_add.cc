#include "frontend/dockerfile/lower/remote_add.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/git_url.h"
#include "base/gopath.h"
#include "base/value.h"
#include "graph/build/sources.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

Result<gb::State> git_state(const RemoteAdd& add, const GitReference& git, gb::Constraints constraints) {
  if (add.keep_git_dir && git.keep_git_dir && *add.keep_git_dir != *git.keep_git_dir) {
    return invalid("inconsistent keep-git-dir configuration");
  }
  if (!add.checksum.empty() && !git.checksum.empty() && add.checksum != git.checksum) {
    return invalid(fmt::format("checksum mismatch {} != {}", quote(add.checksum), quote(git.checksum)));
  }
  gb::GitOptions options{.ref = git.ref, .subdir = git.subdir};
  options.keep_git_dir = git.keep_git_dir ? *git.keep_git_dir : add.keep_git_dir.value_or(false);
  options.checksum = git.checksum.empty() ? add.checksum : git.checksum;
  options.skip_submodules = !git.submodules.value_or(true);
  options.fetch_by_commit = git.fetch_by_commit;
  return gb::git(git.remote, options, constraints);
}

Result<gb::State> http_state(const RemoteAdd& add, gb::Constraints constraints) {
  gb::HttpOptions options{.filename = http_filename(add.source)};
  if (!add.checksum.empty()) {
    KILN_ASSIGN_OR_RETURN(options.checksum, Digest::parse(add.checksum));
  }
  return gb::http(add.source, options, constraints);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Nothing for a broken escape.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return std::nullopt;
    out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
    i += 2;
  }
  return out;
}

}  // namespace

bool is_git_source(std::string_view source) {
  auto git = parse_git_reference(source);
  return git && git->ok();
}

bool is_http_source(std::string_view source) {
  return (source.starts_with("http://") || source.starts_with("https://")) && !is_git_source(source);
}

std::string http_filename(std::string_view url) {
  constexpr const char* kUnnamed = "__unnamed__";
  auto scheme = url.find("://");
  std::string_view rest = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
  rest = rest.substr(0, rest.find('#'));
  rest = rest.substr(0, rest.find('?'));
  auto slash = rest.find('/');
  if (slash == std::string_view::npos) return kUnnamed;
  auto path = percent_decoded(rest.substr(slash));
  if (!path) return kUnnamed;
  const std::string name(base_name(*path));
  return name == "." || name == "/" ? kUnnamed : name;
}

std::optional<Result<gb::State>> remote_state(const RemoteAdd& add, gb::Constraints constraints) {
  auto git = parse_git_reference(add.source);
  if (git && !git->ok()) return git->status();
  if (git && !(*git)->looks_local) return git_state(add, **git, std::move(constraints));
  if (is_http_source(add.source)) return http_state(add, std::move(constraints));
  return std::nullopt;
}

}  // namespace kiln::frontend::dockerfile
