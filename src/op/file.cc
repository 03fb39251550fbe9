// FileOp: a small graph of file actions, each on an input or on what an earlier action left. Key:
// file_key.h. Actions: file_edit.h, file_copy.h. An action's tree is committed only when it is an
// output or used twice; else the next action goes on writing in it.
#include <algorithm>

#include "base/digest.h"
#include "base/text.h"
#include "op/file_copy.h"
#include "op/file_edit.h"
#include "op/file_key.h"
#include "op/file_owner.h"
#include "op/key_parts.h"
#include "op/op_factory.h"
#include "op/tree_output.h"

namespace kiln::op {
namespace {

// A path with a zero byte would be another one for the kernel, which stops reading there. Go's programs get
// EINVAL for it.
Status check_path(std::string_view what, const std::string& path) {
  const std::size_t zero = path.find('\0');
  if (zero == std::string::npos) return ok();
  return user_error(Code::kInvalidArgument, fmt::format("{} \"{}\\x00{}\": invalid argument", what,
                                                        path.substr(0, zero), path.substr(zero + 1)));
}

Status check_paths(const graph::FileAction& action) {
  if (const auto* copy = std::get_if<graph::CopyAction>(&action.action)) {
    KILN_RETURN_IF_ERROR(check_path("copy", copy->src));
    return check_path("copy to", copy->dest);
  }
  if (const auto* file = std::get_if<graph::MkfileAction>(&action.action)) return check_path("make file", file->path);
  if (const auto* dir = std::get_if<graph::MkdirAction>(&action.action)) return check_path("mkdir", dir->path);
  if (const auto* gone = std::get_if<graph::RmAction>(&action.action)) return check_path("remove", gone->path);
  if (const auto* link = std::get_if<graph::SymlinkAction>(&action.action)) {
    KILN_RETURN_IF_ERROR(check_path("symlink to", link->old_path));
    return check_path("symlink", link->new_path);
  }
  return ok();
}

// One run of a file op. One thread.
class FileRun {
 public:
  FileRun(const graph::FileOp& op, const OpPorts& ports, std::vector<store::TreeRef> inputs, const std::string& name,
          std::stop_token stop)
      : op_(op), ports_(ports), name_(name), stop_(stop), inputs_(std::move(inputs)), results_(op.actions.size()) {}

  Result<std::vector<store::TreeRef>> run() {
    KILN_RETURN_IF_ERROR(plan());
    std::vector<store::TreeRef> trees;
    for (std::size_t action : outputs_) {
      KILN_RETURN_IF_ERROR(perform(action));
      trees.push_back(results_[action].tree);
    }
    return trees;
  }

  const std::vector<store::TreeRef>& inputs() const { return inputs_; }
  // The trees as a failed action left them, one an action; null where there is none.
  std::vector<store::TreeRef> left_trees() {
    std::vector<store::TreeRef> left(results_.size());
    for (std::size_t i = 0; i < results_.size(); ++i) {
      left[i] = results_[i].tree;
      if (!results_[i].work) continue;
      if (Result<store::TreeRef> tree = results_[i].work->commit(); tree.ok()) left[i] = *tree;
      results_[i].work.reset();
    }
    return left;
  }

 private:
  // What an action left: a tree, or one still to be written on.
  struct ActionResult {
    bool done = false;
    bool entered = false;  // guards against loops
    bool committed = false;
    int uses = 0;
    store::TreeRef tree;
    store::MutableRef work;
  };

  std::int64_t input_count() const { return static_cast<std::int64_t>(inputs_.size()); }
  bool is_action(std::int64_t index) const { return index >= input_count(); }
  ActionResult& result(std::int64_t index) { return results_[static_cast<std::size_t>(index - input_count())]; }

  Status plan() {
    const auto count = input_count() + static_cast<std::int64_t>(op_.actions.size());
    std::vector<std::int64_t> by_output(op_.actions.size(), -1);
    std::size_t outputs = 0;
    for (std::size_t i = 0; i < op_.actions.size(); ++i) {
      const graph::FileAction& action = op_.actions[i];
      for (std::int64_t used : {action.input, action.secondary_input}) {
        if (used < -1 || used >= count) {
          return user_error(Code::kInvalidArgument, fmt::format("invalid input index {}, {} provided", used, count));
        }
        if (is_action(used)) ++result(used).uses;
      }
      if (action.output == graph::kSkipOutput) continue;
      const auto output = static_cast<std::size_t>(action.output);
      if (action.output < 0 || output >= by_output.size()) {
        return user_error(Code::kInvalidArgument, fmt::format("missing output index {}", outputs));
      }
      if (by_output[output] != -1) {
        return user_error(Code::kInvalidArgument, fmt::format("duplicate output {}", action.output));
      }
      by_output[output] = static_cast<std::int64_t>(i);
      results_[i].committed = true;
      ++outputs;
    }
    if (outputs == 0) return user_error(Code::kInvalidArgument, "no outputs specified");
    for (std::size_t i = 0; i < outputs; ++i) {
      if (by_output[i] == -1) return user_error(Code::kInvalidArgument, fmt::format("missing output index {}", i));
      outputs_.push_back(static_cast<std::size_t>(by_output[i]));
    }
    for (ActionResult& r : results_) r.committed = r.committed || r.uses > 1;
    return ok();
  }

  Status perform(std::size_t index) {
    ActionResult& mine = results_[index];
    if (mine.done) return ok();
    if (mine.entered) {
      return user_error(Code::kInvalidArgument, fmt::format("loop from index {}", index + inputs_.size()));
    }
    mine.entered = true;
    const graph::FileAction& action = op_.actions[index];
    for (std::int64_t used : {action.input, action.secondary_input}) {
      if (is_action(used)) KILN_RETURN_IF_ERROR(perform(static_cast<std::size_t>(used - input_count())));
    }
    KILN_ASSIGN_OR_RETURN(mine.work, begin(action.input));
    if (Status done = act(action, *mine.work); !done.ok()) {
      if (!is_cancelled(done)) set_detail(done, kFileActionDetail, fmt::format("{}", index));
      return done;
    }
    if (mine.committed) {
      KILN_ASSIGN_OR_RETURN(mine.tree, mine.work->commit());
      mine.work.reset();
    }
    mine.done = true;
    return ok();
  }

  // The tree an action writes on.
  Result<store::MutableRef> begin(std::int64_t input) {
    if (is_action(input) && result(input).work) return std::move(result(input).work);
    return ports_.trees->make_mutable(tree_at(input), {.description = name_}, stop_);
  }

  store::TreeRef tree_at(std::int64_t index) {
    if (index < 0) return nullptr;
    return is_action(index) ? result(index).tree : inputs_[static_cast<std::size_t>(index)];
  }

  Result<store::OpenTree> open(std::int64_t index) {
    if (is_action(index) && result(index).work) return result(index).work->open();
    return ports_.trees->open(tree_at(index), stop_);
  }

  Status act(const graph::FileAction& action, store::MutableTree& work) {
    KILN_RETURN_IF_ERROR(check_paths(action));
    KILN_ASSIGN_OR_RETURN(store::OpenTree target, work.open());
    const int root = target.root.get();
    return std::visit(
        [&](const auto& kind) -> Status {
          using Kind = std::decay_t<decltype(kind)>;
          if constexpr (std::is_same_v<Kind, std::monostate>) {
            return user_error(Code::kInvalidArgument, "invalid action type");
          } else if constexpr (std::is_same_v<Kind, graph::RmAction>) {
            return remove_path(root, kind, stop_);
          } else {
            KILN_ASSIGN_OR_RETURN(std::optional<Owner> owner, owner_for(kind.owner, action, root));
            if constexpr (std::is_same_v<Kind, graph::MkdirAction>) return make_directory(root, kind, owner);
            if constexpr (std::is_same_v<Kind, graph::MkfileAction>) return make_file(root, kind, owner);
            if constexpr (std::is_same_v<Kind, graph::SymlinkAction>) return make_symlink(root, kind, owner);
            if constexpr (std::is_same_v<Kind, graph::CopyAction>) {
              KILN_ASSIGN_OR_RETURN(store::OpenTree source, open(action.secondary_input));
              return copy_files(source.root.get(), root, kind, owner, ports_.trees->layer_bytes_max(), stop_);
            }
          }
        },
        action.action);
  }

  Result<std::optional<Owner>> owner_for(const std::optional<graph::Chown>& chown, const graph::FileAction& action,
                                         int root) {
    std::vector<store::OpenTree> opened;
    return find_owner(chown, [&](std::int64_t index) -> Result<int> {
      // The action's own tree, when it goes on writing where the named one stopped.
      if (index == action.input && is_action(index) && !result(index).committed) return root;
      if (index >= input_count() + static_cast<std::int64_t>(results_.size())) {
        return user_error(Code::kInvalidArgument, fmt::format("invalid user index: {}", index));
      }
      if (is_action(index)) KILN_RETURN_IF_ERROR(perform(static_cast<std::size_t>(index - input_count())));
      KILN_ASSIGN_OR_RETURN(store::OpenTree tree, open(index));
      opened.push_back(std::move(tree));
      return opened.back().root.get();
    });
  }

  const graph::FileOp& op_;
  const OpPorts& ports_;
  const std::string& name_;
  std::stop_token stop_;
  std::vector<store::TreeRef> inputs_;
  std::vector<ActionResult> results_;
  std::vector<std::size_t> outputs_;  // the action of each output
};

class FileOp final : public solve::Op {
 public:
  FileOp(VertexPtr vertex, const OpPorts& ports) : vertex_(std::move(vertex)), ports_(ports) {}

  Result<solve::CacheMap> cache_map(int, solve::RunContext&) override {
    KILN_ASSIGN_OR_RETURN(std::vector<FileInputView> views, file_input_views(op(), vertex_->inputs.size()));
    solve::CacheMap map;
    map.digest = Digest::of(file_key_json(op(), vertex_->inputs.size())).str();
    for (const FileInputView& view : views) map.inputs.push_back(input_rule(view));
    return map;
  }

  Result<Digest> content_key(int input, const solve::OutputRef& output, solve::RunContext& context) override {
    KILN_ASSIGN_OR_RETURN(std::vector<FileInputView> views, file_input_views(op(), vertex_->inputs.size()));
    if (input < 0 || static_cast<std::size_t>(input) >= views.size()) return engine_error("no such input");
    const store::TreeRef tree = tree_of(output);
    std::vector<std::string> digests;
    for (const FileSelector& selector : distinct_selectors(views[static_cast<std::size_t>(input)].selectors)) {
      Result<Digest> digest = ports_.trees->digest(tree, selector.path, selector.options, context.stop);
      if (!digest.ok()) return content_key_error(tree, digest.status());
      digests.push_back(digest->str());
    }
    return Digest::of(join(digests, std::string_view("\0", 1)));
  }

  std::vector<event::KeyPart> key_parts() const override { return file_parts(op()); }

  std::vector<event::FileSum> key_files(int input, const solve::OutputRef& output,
                                        solve::RunContext& context) override {
    std::vector<event::FileSum> out;
    const auto views = file_input_views(op(), vertex_->inputs.size());
    if (!views.ok() || static_cast<std::size_t>(input) >= views->size()) return out;
    for (const FileSelector& selector : distinct_selectors((*views)[static_cast<std::size_t>(input)].selectors)) {
      add_files(out, ports_, output, selector.path, selector.options, context);
    }
    return out;
  }

  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs,
                                            solve::RunContext& context) override {
    std::vector<store::TreeRef> trees;
    for (const solve::OutputRef& input : inputs) trees.push_back(tree_of(input));
    FileRun run(op(), ports_, std::move(trees), vertex_->name, context.stop);
    Result<std::vector<store::TreeRef>> made = run.run();
    if (!made.ok()) {
      Status error = made.status();
      if (ports_.on_exec_failure && !is_cancelled(error)) {
        ports_.on_exec_failure(*vertex_, run.inputs(), run.left_trees(), error);
      }
      return error;
    }
    std::vector<solve::OutputRef> out;
    for (store::TreeRef& tree : *made) out.push_back(make_output(std::move(tree)));
    return out;
  }

 private:
  const graph::FileOp& op() const { return std::get<graph::FileOp>(vertex_->op.kind); }

  VertexPtr vertex_;
  OpPorts ports_;
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_file_op(VertexPtr vertex, const OpPorts& ports) {
  return std::make_unique<FileOp>(std::move(vertex), ports);
}

}  // namespace kiln::op
