#include "base/git_url.h"

#include <fmt/format.h>

#include "base/gopath.h"
#include "base/text.h"
#include "base/value.h"

namespace kiln {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

bool alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// "https" of "https://…", lower case; empty when the text does not begin so.
std::string scheme_of(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size() && alphanumeric(text[size])) ++size;
  return size > 0 && text.substr(size).starts_with("://") ? to_lower(text.substr(0, size)) : "";
}

bool known_scheme(std::string_view scheme) {
  return scheme == "http" || scheme == "https" || scheme == "ssh" || scheme == "git";
}

enum class Plus { kLiteral, kBlank };
// Replaces %XX (and + where it means a blank); nothing when an escape is broken.
std::optional<std::string> unescape(std::string_view text, Plus plus) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      std::optional<std::uint64_t> byte = parse_unsigned(text.substr(i + 1, 2), 16, 255);
      if (!byte || i + 2 >= text.size()) return std::nullopt;
      out.push_back(static_cast<char>(*byte));
      i += 2;
    } else {
      out.push_back(text[i] == '+' && plus == Plus::kBlank ? ' ' : text[i]);
    }
  }
  return out;
}

bool parse_query(std::string_view text, std::map<std::string, std::vector<std::string>>& query) {
  for (std::string_view pair : split(text, '&')) {
    if (pair.empty()) continue;
    auto [raw_key, raw_value] = split_once(pair, '=');
    std::optional<std::string> key = unescape(raw_key, Plus::kBlank), value = unescape(raw_value, Plus::kBlank);
    if (!key || !value) return false;
    query[*key].push_back(*value);
  }
  return true;
}

void set_fragment(GitUrl& url, std::string_view fragment) {
  auto [ref, subdir] = split_once(fragment, ':');
  url.ref = ref;
  url.subdir = fragment.empty() ? "" : join_path("/", subdir).substr(1);
}

bool has_control_characters(std::string_view text) {
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// `rest` is what follows "scheme://".
Result<GitUrl> parse_standard(std::string scheme, std::string_view rest) {
  GitUrl url;
  if (has_control_characters(rest)) return fault("a git URL must not contain control characters");
  auto [with_query, raw_fragment] = split_once(rest, '#');
  auto [place, raw_query] = split_once(with_query, '?');
  std::size_t slash = std::min(place.find('/'), place.size());
  std::string_view authority = place.substr(0, slash);
  if (auto at = authority.rfind('@'); at != std::string_view::npos) {
    auto [user, password] = split_once(authority.substr(0, at), ':');
    url.user = unescape(user, Plus::kLiteral).value_or(std::string(user));
    if (user.size() < at) url.password = unescape(password, Plus::kLiteral).value_or(std::string(password));
    authority.remove_prefix(at + 1);
  }
  std::optional<std::string> path = unescape(place.substr(slash), Plus::kLiteral);
  std::optional<std::string> fragment = unescape(raw_fragment, Plus::kLiteral);
  if (!path || !fragment || authority.find(' ') != std::string_view::npos || !parse_query(raw_query, url.query)) {
    return fault(fmt::format("'{}://{}' is not a valid URL", scheme, rest));
  }
  url.host = authority;
  url.path = *path;
  url.remote = fmt::format("{}://{}", scheme, place);
  url.scheme = std::move(scheme);
  set_fragment(url, *fragment);
  return url;
}

// `user@host:path?query#fragment`
std::optional<GitUrl> parse_scp(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && (alphanumeric(text[at]) || text[at] == '-' || text[at] == '_')) ++at;
  if (at == 0 || at >= text.size() || text[at] != '@') return std::nullopt;
  std::size_t colon = at + 1;
  while (colon < text.size() && (alphanumeric(text[colon]) || text[colon] == '-' || text[colon] == '.')) ++colon;
  if (colon == at + 1 || colon >= text.size() || text[colon] != ':' || text.find('\n') != std::string_view::npos)
    return std::nullopt;
  GitUrl url;
  url.scheme = "ssh";
  url.user = text.substr(0, at);
  url.host = text.substr(at + 1, colon - at - 1);
  auto [with_query, fragment] = split_once(text, '#');
  auto [remote, query] = split_once(with_query, '?');
  if (!parse_query(query, url.query)) return std::nullopt;
  url.path = remote.substr(colon + 1);
  url.remote = remote;
  set_fragment(url, fragment);
  return url;
}

// Applies the query keys of one address.
class QueryReader {
 public:
  explicit QueryReader(GitReference& reference) : reference_(reference) {}

  Status read(const std::map<std::string, std::vector<std::string>>& query) {
    for (const auto& [key, values] : query) {
      if (values.size() > 1) return fault(fmt::format("query {} has multiple values", quote(key)));
      bool may_be_bare = key == "submodules" || key == "keep-git-dir" || key == "fetch-by-commit";
      if (values[0].empty() && !may_be_bare) return fault(fmt::format("query {} has no value", quote(key)));
      KILN_RETURN_IF_ERROR(set(key, values[0]));
    }
    if (!tag_.empty()) KILN_RETURN_IF_ERROR(set_ref(prefixed("refs/tags/", tag_)));
    if (!branch_.empty()) {
      if (!tag_.empty()) return fault("branch conflicts with tag");
      KILN_RETURN_IF_ERROR(set_ref(prefixed("refs/heads/", branch_)));
    }
    return ok();
  }

 private:
  static std::string prefixed(std::string_view prefix, const std::string& name) {
    return name.starts_with(prefix) ? name : fmt::format("{}{}", prefix, name);
  }
  static Result<bool> boolean(const std::string& key, const std::string& value) {
    if (value.empty()) return true;
    if (std::optional<bool> on = parse_bool(value)) return *on;
    return fault(fmt::format("invalid {} value: {}", key, quote(value)));
  }
  Status set_ref(const std::string& ref) {
    if (!reference_.ref.empty() && reference_.ref != ref) {
      return fault(fmt::format("ref conflicts: {} vs {}", quote(reference_.ref), quote(ref)));
    }
    reference_.ref = ref;
    return ok();
  }
  Status set(const std::string& key, const std::string& value) {
    if (key == "ref") return set_ref(value);
    if (key == "tag") {
      tag_ = value;
    } else if (key == "branch") {
      branch_ = value;
    } else if (key == "checksum" || key == "commit") {
      reference_.checksum = value;
    } else if (key == "subdir") {
      if (!reference_.subdir.empty() && reference_.subdir != value) {
        return fault(fmt::format("subdir conflicts: {} vs {}", quote(reference_.subdir), quote(value)));
      }
      reference_.subdir = value;
    } else if (key == "keep-git-dir") {
      KILN_ASSIGN_OR_RETURN(reference_.keep_git_dir, boolean(key, value));
    } else if (key == "submodules") {
      KILN_ASSIGN_OR_RETURN(reference_.submodules, boolean(key, value));
    } else if (key == "fetch-by-commit") {
      KILN_ASSIGN_OR_RETURN(reference_.fetch_by_commit, boolean(key, value));
    } else if (key == "mtime") {
      if (value != "checkout" && value != "commit") {
        return fault(fmt::format("invalid mtime value: {} (must be \"checkout\" or \"commit\")", quote(value)));
      }
      reference_.mtime = value;
    } else {
      return fault(fmt::format("unexpected query {}", quote(key)));
    }
    return ok();
  }

  GitReference& reference_;
  std::string tag_;
  std::string branch_;
};

}  // namespace

Result<GitUrl> parse_git_url(std::string_view text) {
  std::string scheme = scheme_of(text);
  if (known_scheme(scheme)) return parse_standard(scheme, text.substr(scheme.size() + 3));
  if (!scheme.empty()) return fault(fmt::format("{}: invalid protocol", scheme));
  if (std::optional<GitUrl> url = parse_scp(text)) return *std::move(url);
  return fault("unknown protocol");
}

bool is_git_transport(std::string_view text) {
  std::string scheme = scheme_of(text);
  return scheme.empty() ? parse_scp(text).has_value() : known_scheme(scheme);
}

std::optional<Result<GitReference>> parse_git_reference(std::string_view text) {
  if (text.starts_with("./") || text.starts_with("../")) return std::nullopt;
  GitReference reference;
  reference.looks_local = text.starts_with("github.com/");
  Result<GitUrl> url = reference.looks_local ? parse_standard("https", text) : parse_git_url(text);
  if (!url.ok()) return std::nullopt;
  bool is_http = url->scheme == "http" || url->scheme == "https";
  if (!reference.looks_local && is_http && !url->path.ends_with(".git")) return std::nullopt;
  reference.unencrypted = url->scheme == "http" || url->scheme == "git";
  reference.remote = reference.looks_local ? url->remote.substr(std::string_view("https://").size()) : url->remote;
  reference.ref = url->ref;
  reference.subdir = url->subdir;
  reference.short_name = reference.remote.substr(reference.remote.rfind('/') + 1);
  if (reference.short_name.ends_with(".git")) reference.short_name.resize(reference.short_name.size() - 4);
  if (Status status = QueryReader(reference).read(url->query); !status.ok()) return status;
  return reference;
}

std::string git_fragment_form(std::string_view text, GitSubdir subdir) {
  std::optional<Result<GitReference>> reference = parse_git_reference(text);
  if (!reference || !reference->ok()) return std::string(text);
  const GitReference& git = **reference;
  std::string path = subdir == GitSubdir::kKeep && !git.subdir.empty() ? join_path("/", git.subdir).substr(1) : "";
  std::string out = git.remote;
  if (!git.ref.empty() || !path.empty()) out += "#" + git.ref;
  if (!path.empty()) out += ":" + path;
  return out;
}

}  // namespace kiln
