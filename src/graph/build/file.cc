#include "graph/build/file.h"

#include <charconv>

#include "base/gopath.h"
#include "base/text.h"
#include "graph/build/node.h"

namespace kiln::graph::build {
namespace {

std::variant<std::uint32_t, std::string> side(std::string_view text) {
  if (text == "root") return std::uint32_t{0};
  std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  std::int32_t id = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::string(text);
  return static_cast<std::uint32_t>(id);
}

// An empty name is written as number 0, as LLB writers do.
UserRef user_ref(const std::variant<std::uint32_t, std::string>& side, std::int64_t base) {
  if (const auto* id = std::get_if<std::uint32_t>(&side)) return *id;
  const auto& name = std::get<std::string>(side);
  if (name.empty()) return std::uint32_t{0};
  return NamedUser{name, base};
}

std::optional<Chown> chown_of(const std::optional<Owner>& owner, std::int64_t base) {
  if (!owner) return std::nullopt;
  Chown out;
  if (owner->user) out.user = user_ref(*owner->user, base);
  if (owner->group) out.group = user_ref(*owner->group, base);
  return out;
}

std::string absolute(std::string_view dir, std::string_view path) {
  std::string clean = clean_path(path);
  return is_absolute_path(clean) ? clean : join_path({"/", dir, clean});
}

// A trailing slash or "/." of a destination means something, and survives.
std::string absolute_dest(std::string_view dir, std::string_view path) {
  std::string out = absolute(dir, path);
  if (path.ends_with('/') && !out.ends_with('/')) {
    out += '/';
  } else if (path.ends_with("/.")) {
    if (out != "/") out += '/';
    out += '.';
  }
  return out;
}

class FileNode final : public Node {
 public:
  FileNode(const State& base, std::vector<FileSteps::Step> steps, Constraints constraints)
      : Node(std::move(constraints)), base_(base.output()), dir_(base.settings().dir), steps_(std::move(steps)) {
    // From the last step back: the order in which other LLB writers visit them.
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
      add_once(inputs_, base_);
      add_once(inputs_, step->from.output());
    }
  }

  Result<Made> make(const Defaults& defaults, const InputOf& input_of) const override {
    if (steps_.empty()) return user_error(Code::kInvalidArgument, "action is required");
    Made made = start(defaults);
    made.op.platform.reset();
    made.metadata.caps[kCapFileBase] = true;
    std::int64_t base = kNoInput;
    if (auto input = base_.is_scratch() ? std::nullopt : input_of(base_)) base = input_index(made.op, *input);
    std::vector<std::int64_t> from;
    for (const auto& step : steps_) {
      auto input = step.from.is_scratch() ? std::nullopt : input_of(step.from.output());
      from.push_back(input ? input_index(made.op, *input) : kNoInput);
    }
    FileOp file;
    const auto inputs = static_cast<std::int64_t>(made.op.inputs.size());
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      FileAction action{.input = i == 0 ? base : inputs + static_cast<std::int64_t>(i) - 1,
                        .secondary_input = from[i],
                        .output = i + 1 == steps_.size() ? 0 : kSkipOutput};
      std::visit([&](const auto& kind) { action.action = bound(kind, steps_[i], base); }, steps_[i].action);
      file.actions.push_back(std::move(action));
    }
    made.op.kind = std::move(file);
    return made;
  }

 private:
  CopyAction bound(CopyAction a, const FileSteps::Step& step, std::int64_t base) const {
    a.src = absolute(step.from.settings().dir, a.src);
    a.dest = absolute_dest(dir_, a.dest);
    a.owner = chown_of(step.owner, base);
    return a;
  }
  MkfileAction bound(MkfileAction a, const FileSteps::Step& step, std::int64_t base) const {
    a.path = absolute(dir_, a.path);
    a.owner = chown_of(step.owner, base);
    return a;
  }
  MkdirAction bound(MkdirAction a, const FileSteps::Step& step, std::int64_t base) const {
    a.path = absolute(dir_, a.path);
    a.owner = chown_of(step.owner, base);
    return a;
  }
  SymlinkAction bound(SymlinkAction a, const FileSteps::Step& step, std::int64_t base) const {
    a.owner = chown_of(step.owner, base);
    return a;
  }
  RmAction bound(RmAction a, const FileSteps::Step&, std::int64_t) const {
    a.path = absolute(dir_, a.path);
    return a;
  }

  Output base_;
  std::string dir_;
  std::vector<FileSteps::Step> steps_;
};

}  // namespace

Owner Owner::parse(std::string_view text) {
  Owner owner;
  auto colon = text.find(':');
  owner.user = side(text.substr(0, colon));
  if (colon != std::string_view::npos) owner.group = side(text.substr(colon + 1));
  return owner;
}

Owner Owner::ids(std::uint32_t uid, std::uint32_t gid) { return {uid, gid}; }

FileSteps& FileSteps::mkdir(std::string path, std::int32_t mode, const MkdirSpec& spec) {
  MkdirAction action{.path = std::move(path), .mode = mode & 0777, .make_parents = spec.make_parents};
  action.timestamp = spec.created_ns.value_or(-1);
  steps_.push_back({std::move(action), spec.owner, {}});
  return *this;
}

FileSteps& FileSteps::mkfile(std::string path, std::int32_t mode, std::string data, const MkfileSpec& spec) {
  MkfileAction action{.path = std::move(path), .mode = mode & 0777, .data = std::move(data)};
  action.timestamp = spec.created_ns.value_or(-1);
  steps_.push_back({std::move(action), spec.owner, {}});
  return *this;
}

FileSteps& FileSteps::symlink(std::string old_path, std::string new_path, const MkfileSpec& spec) {
  SymlinkAction action{.old_path = std::move(old_path), .new_path = std::move(new_path)};
  action.timestamp = spec.created_ns.value_or(-1);
  steps_.push_back({std::move(action), spec.owner, {}});
  return *this;
}

FileSteps& FileSteps::rm(std::string path, const RmSpec& spec) {
  steps_.push_back({RmAction{std::move(path), spec.allow_not_found, spec.allow_wildcard}, {}, {}});
  return *this;
}

FileSteps& FileSteps::copy(State from, std::string src, std::string dest, const CopySpec& spec) {
  CopyAction action{.src = std::move(src),
                    .dest = std::move(dest),
                    .mode = spec.mode.value_or(-1),
                    .follow_symlink = spec.follow_symlinks,
                    .dir_copy_contents = spec.dir_contents_only,
                    .attempt_unpack = spec.attempt_unpack,
                    .create_dest_path = spec.create_dest_path,
                    .allow_wildcard = spec.allow_wildcard,
                    .allow_empty_wildcard = spec.allow_empty_wildcard,
                    .timestamp = spec.created_ns.value_or(-1),
                    .include_patterns = spec.include_patterns,
                    .exclude_patterns = spec.exclude_patterns,
                    .always_replace_existing_dest_paths = spec.always_replace,
                    .mode_str = spec.mode_text,
                    .required_paths = spec.required_paths};
  if (!spec.mode_text.empty()) action.mode = 0;
  steps_.push_back({std::move(action), spec.owner, std::move(from)});
  return *this;
}

State file(const State& base, const FileSteps& steps, const Constraints& constraints) {
  return base.with_output({std::make_shared<FileNode>(base, steps.steps(), constraints), 0});
}

}  // namespace kiln::graph::build
