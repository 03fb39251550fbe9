#include "op/file_key.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/base64.h"
#include "base/digest.h"
#include "base/gopath.h"
#include "base/quote.h"
#include "base/text.h"
#include "content/json_text.h"

namespace kiln::op {
namespace {

using content::JsonWriter;

void integer_if(JsonWriter& w, std::string_view name, std::int64_t value) {
  if (value == 0) return;
  w.key(name);
  w.integer(value);
}

void true_if(JsonWriter& w, std::string_view name, bool value) {
  if (!value) return;
  w.key(name);
  w.boolean(true);
}

void write_user(JsonWriter& w, std::string_view name, const std::optional<graph::UserRef>& user) {
  if (!user) return;
  w.key(name);
  w.begin_object();
  w.key("User");
  w.begin_object();
  if (const auto* named = std::get_if<graph::NamedUser>(&*user)) {
    w.key("byName");
    w.begin_object();
    w.string_if("name", named->name);
    integer_if(w, "input", named->input);
    w.end_object();
  } else if (const auto* id = std::get_if<std::uint32_t>(&*user)) {
    integer_if(w, "byId", *id);
  }
  w.end_object();
  w.end_object();
}

void write_owner(JsonWriter& w, const std::optional<graph::Chown>& owner) {
  if (!owner) return;
  w.key("owner");
  w.begin_object();
  write_user(w, "user", owner->user);
  write_user(w, "group", owner->group);
  w.end_object();
}

void write_action(JsonWriter& w, const graph::CopyAction& a, bool from_input) {
  w.string_if("src", from_input ? std::string(base_name(a.src)) : a.src);
  w.string_if("dest", a.dest);
  write_owner(w, a.owner);
  integer_if(w, "mode", a.mode);
  true_if(w, "followSymlink", a.follow_symlink);
  true_if(w, "dirCopyContents", a.dir_copy_contents);
  true_if(w, "attemptUnpackDockerCompatibility", a.attempt_unpack);
  true_if(w, "createDestPath", a.create_dest_path);
  true_if(w, "allowWildcard", a.allow_wildcard);
  true_if(w, "allowEmptyWildcard", a.allow_empty_wildcard);
  integer_if(w, "timestamp", a.timestamp);
  w.strings_if("include_patterns", a.include_patterns);
  w.strings_if("exclude_patterns", a.exclude_patterns);
  true_if(w, "alwaysReplaceExistingDestPaths", a.always_replace_existing_dest_paths);
  w.string_if("modeStr", a.mode_str);
  w.strings_if("required_paths", a.required_paths);
}

void write_action(JsonWriter& w, const graph::MkfileAction& a) {
  w.string_if("path", a.path);
  integer_if(w, "mode", a.mode);
  w.string_if("data", base64_encode(a.data));
  write_owner(w, a.owner);
  integer_if(w, "timestamp", a.timestamp);
}

void write_action(JsonWriter& w, const graph::MkdirAction& a) {
  w.string_if("path", a.path);
  integer_if(w, "mode", a.mode);
  true_if(w, "makeParents", a.make_parents);
  write_owner(w, a.owner);
  integer_if(w, "timestamp", a.timestamp);
}

void write_action(JsonWriter& w, const graph::RmAction& a) {
  w.string_if("path", a.path);
  true_if(w, "allowNotFound", a.allow_not_found);
  true_if(w, "allowWildcard", a.allow_wildcard);
}

void write_action(JsonWriter& w, const graph::SymlinkAction& a) {
  w.string_if("oldpath", a.old_path);
  w.string_if("newpath", a.new_path);
  write_owner(w, a.owner);
  integer_if(w, "timestamp", a.timestamp);
}

bool is_input(std::int64_t index, std::size_t input_count) {
  return index >= 0 && index < static_cast<std::int64_t>(input_count);
}

std::string action_json(const graph::FileAction& action, std::size_t input_count) {
  JsonWriter w;
  w.begin_object();
  std::visit(
      [&](const auto& kind) {
        using Kind = std::decay_t<decltype(kind)>;
        if constexpr (std::is_same_v<Kind, graph::CopyAction>) {
          write_action(w, kind, is_input(action.secondary_input, input_count));
        } else if constexpr (!std::is_same_v<Kind, std::monostate>) {
          write_action(w, kind);
        }
      },
      action.action);
  w.end_object();
  return w.take();
}

// The commonest wiring (each action works on the one before, copies come from the second input) was
// once left out of keys, and for it that stays so.
bool is_plain_chain(const std::vector<graph::FileAction>& actions) {
  const auto count = static_cast<std::int64_t>(actions.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const graph::FileAction& a = actions[static_cast<std::size_t>(i)];
    if (a.input != (i == 0 ? 0 : count + i - 1)) return false;
    if (a.secondary_input != graph::kNoInput && a.secondary_input != 1) return false;
    if (a.output != (i == count - 1 ? 0 : graph::kSkipOutput)) return false;
  }
  return count > 0;
}

bool has_wildcard(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '\\') {
      ++i;
    } else if (name[i] == '*' || name[i] == '?' || name[i] == '[') {
      return true;
    }
  }
  return false;
}

const std::optional<graph::Chown>* owner_of(const graph::FileAction& action) {
  if (const auto* copy = std::get_if<graph::CopyAction>(&action.action)) return &copy->owner;
  if (const auto* mkfile = std::get_if<graph::MkfileAction>(&action.action)) return &mkfile->owner;
  if (const auto* mkdir = std::get_if<graph::MkdirAction>(&action.action)) return &mkdir->owner;
  return nullptr;
}

// Names are looked up in the input's user database, which is then part of what is seen.
Status add_owner(const graph::FileAction& action, std::vector<FileInputView>& views) {
  const std::optional<graph::Chown>* owner = owner_of(action);
  if (!owner || !*owner) return ok();
  auto add = [&](const std::optional<graph::UserRef>& user, const char* file) -> Status {
    const auto* named = user ? std::get_if<graph::NamedUser>(&*user) : nullptr;
    if (!named) return ok();
    if (!is_input(named->input, views.size())) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("invalid user index: {}: there is no {} to look {} up in; use a number",
                                    named->input, file, quote(named->name)));
    }
    views[static_cast<std::size_t>(named->input)].selectors.push_back({file, {.follow_links = true}});
    return ok();
  };
  KILN_RETURN_IF_ERROR(add((*owner)->user, "/etc/passwd"));
  return add((*owner)->group, "/etc/group");
}

// Without doubles and without what lies below another one; sorted.
std::vector<std::string> outermost_paths(std::vector<std::string> paths) {
  if (paths.size() <= 1) return paths;
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    bool covered = std::any_of(paths.begin(), paths.end(), [&](const std::string& other) {
      return other != path && path.starts_with(other.ends_with('/') ? other : other + "/");
    });
    if (!covered) out.push_back(path);
  }
  return out;
}

bool is_plain(const FileSelector& s) {
  return !s.options.wildcard && s.options.include_patterns.empty() && s.options.exclude_patterns.empty();
}

}  // namespace

std::string file_key_json(const graph::FileOp& op, std::size_t input_count) {
  JsonWriter w;
  w.begin_object();
  w.key("Type");
  w.string("buildkit.file.v0");
  w.key("Actions");
  w.begin_array();
  for (const graph::FileAction& action : op.actions) w.string(base64_encode(action_json(action, input_count)));
  w.end_array();
  if (!op.actions.empty() && !is_plain_chain(op.actions)) {
    w.key("indexes");
    w.begin_array();
    for (const graph::FileAction& action : op.actions) {
      w.begin_array();
      w.integer(action.input);
      w.integer(action.secondary_input);
      w.integer(action.output);
      w.end_array();
    }
    w.end_array();
  }
  w.end_object();
  return w.take();
}

Result<std::vector<FileInputView>> file_input_views(const graph::FileOp& op, std::size_t input_count) {
  std::vector<FileInputView> views(input_count);
  for (const graph::FileAction& action : op.actions) {
    if (is_input(action.input, input_count)) views[static_cast<std::size_t>(action.input)].whole = true;
    KILN_RETURN_IF_ERROR(add_owner(action, views));
    const auto* copy = std::get_if<graph::CopyAction>(&action.action);
    if (!copy || !is_input(action.secondary_input, input_count)) continue;
    FileSelector selector{copy->src, {}};
    selector.options.follow_links = copy->follow_symlink;
    selector.options.wildcard = copy->allow_wildcard && has_wildcard(copy->src);
    selector.options.include_patterns = copy->include_patterns;
    selector.options.exclude_patterns = copy->exclude_patterns;
    selector.options.required_paths = copy->required_paths;
    views[static_cast<std::size_t>(action.secondary_input)].selectors.push_back(std::move(selector));
  }
  return views;
}

solve::InputRule input_rule(const FileInputView& view) {
  solve::InputRule rule;
  if (view.whole || view.selectors.empty()) return rule;
  std::vector<std::string> paths;
  for (const FileSelector& selector : view.selectors) paths.push_back(selector.path);
  std::sort(paths.rbegin(), paths.rend());
  rule.selector = Digest::of(join(paths, std::string_view("\0", 1))).str();
  rule.content_keyed = true;
  return rule;
}

std::vector<FileSelector> distinct_selectors(const std::vector<FileSelector>& selectors) {
  std::vector<FileSelector> out;
  for (bool follow : {false, true}) {
    std::vector<std::string> paths;
    for (const FileSelector& s : selectors) {
      if (is_plain(s) && s.options.follow_links == follow) paths.push_back(s.path);
    }
    for (const std::string& path : outermost_paths(paths)) out.push_back({path, {.follow_links = follow}});
  }
  for (const FileSelector& s : selectors) {
    if (!is_plain(s)) out.push_back(s);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const FileSelector& a, const FileSelector& b) { return a.path < b.path; });
  if (out.empty()) out.emplace_back();
  for (FileSelector& s : out) s.path = join_path("/", s.path);
  return out;
}

}  // namespace kiln::op
