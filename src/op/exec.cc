// ExecOp: a process in a tree. Key: exec_key.h. Run: mounts (exec_mounts.h), environment, sandbox,
// outputs.
#include <algorithm>

#include "base/digest.h"
#include "base/id.h"
#include "base/quote.h"
#include "base/text.h"
#include "op/container.h"
#include "op/emulator.h"
#include "op/exec_environment.h"
#include "op/exec_key.h"
#include "op/exec_mounts.h"
#include "op/exec_proxy.h"
#include "op/exec_tracing.h"
#include "op/key_parts.h"
#include "op/op_factory.h"
#include "op/step_records.h"
#include "op/tree_output.h"
#include "sandbox/container_devices.h"
#include "sandbox/runtime.h"

namespace kiln::op {
namespace {

class ExecOp final : public solve::Op {
 public:
  ExecOp(VertexPtr vertex, OpPorts ports) : vertex_(std::move(vertex)), ports_(std::move(ports)) {}

  Result<solve::CacheMap> cache_map(int, solve::RunContext&) override {
    KILN_ASSIGN_OR_RETURN(const std::vector<InputView> views, input_views(op(), vertex_->inputs.size()));
    solve::CacheMap map;
    map.digest = Digest::of(exec_key_json(op(), vertex_->op.platform)).str();
    for (const InputView& view : views) map.inputs.push_back(input_rule(view));
    return map;
  }

  Result<Digest> content_key(int input, const solve::OutputRef& output, solve::RunContext& context) override {
    KILN_ASSIGN_OR_RETURN(const std::vector<InputView> views, input_views(op(), vertex_->inputs.size()));
    if (input < 0 || static_cast<std::size_t>(input) >= views.size()) return engine_error("no such input");
    std::vector<std::string> selectors = distinct_selectors(views[static_cast<std::size_t>(input)].selectors);
    const bool everything = selectors.empty();
    if (everything) selectors.push_back("/");
    std::vector<std::string> digests;
    for (const std::string& selector : selectors) {
      const Result<Digest> digest =
          ports_.trees->digest(tree_of(output), selector, {.follow_links = !everything}, context.stop);
      if (!digest.ok()) return content_key_error(tree_of(output), digest.status());
      digests.push_back(digest->str());
    }
    return Digest::of(join(digests, std::string_view("\0", 1)));
  }

  std::vector<event::KeyPart> key_parts() const override { return exec_parts(op(), vertex_->op.platform); }

  std::vector<event::FileSum> key_files(int input, const solve::OutputRef& output,
                                        solve::RunContext& context) override {
    std::vector<event::FileSum> out;
    const auto views = input_views(op(), vertex_->inputs.size());
    if (!views.ok() || static_cast<std::size_t>(input) >= views->size()) return out;
    std::vector<std::string> selectors = distinct_selectors((*views)[static_cast<std::size_t>(input)].selectors);
    if (selectors.empty()) selectors.push_back("/");
    for (const std::string& selector : selectors)
      add_files(out, ports_, output, selector, {.follow_links = true}, context);
    return out;
  }

  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs,
                                            solve::RunContext& context) override {
    if (ports_.runtime == nullptr) return engine_error("no runtime for steps was configured");
    std::vector<store::TreeRef> trees;
    for (const solve::OutputRef& input : inputs) trees.push_back(tree_of(input));
    ExecMounts mounts(op(), ports_, std::move(trees), fmt::format("exec {}", join(op().meta.args, " ")));
    KILN_RETURN_IF_ERROR(mounts.prepare(context));
    if (Status ended = run_process(mounts, context); !ended.ok()) {
      if (!is_cancelled(ended)) tell_failure(mounts, ended);
      return ended;
    }
    KILN_ASSIGN_OR_RETURN(std::vector<store::TreeRef> outputs, mounts.commit_outputs());
    std::vector<solve::OutputRef> out;
    for (store::TreeRef& tree : outputs) out.push_back(make_output(std::move(tree)));
    return out;
  }

 private:
  const graph::ExecOp& op() const { return std::get<graph::ExecOp>(vertex_->op.kind); }

  sandbox::ContainerSpec container_of(ExecMounts& mounts) const {
    const graph::Meta& meta = op().meta;
    return {.id = new_id(),
            .root = mounts.root(),
            .root_readonly = mounts.root_readonly(),
            .mounts = mounts.mounts(),
            .remove_mount_stubs_recursive = meta.remove_mount_stubs_recursive,
            .hostname = meta.hostname,
            .network = network_of(op().network),
            .security = security_of(op().security),
            .cgroup_parent = meta.cgroup_parent,
            .limits = limits_of(vertex_->metadata.linux_resources),
            .sample_usage = ports_.sample_usage};
  }

  Status run_process(ExecMounts& mounts, solve::RunContext& context) {
    const graph::Meta& meta = op().meta;
    sandbox::ContainerSpec container = container_of(mounts);
    KILN_ASSIGN_OR_RETURN(container.extra_hosts, extra_hosts_of(meta.extra_hosts));
    sandbox::ProcessSpec process = process_of(meta);
    KILN_ASSIGN_OR_RETURN(process.env, exec_environment(meta, op().secret_env, vertex_->op.platform, ports_, context));
    KILN_RETURN_IF_ERROR(inject_devices(container, process));
    KILN_ASSIGN_OR_RETURN(const std::optional<std::string> emulator,
                          emulator_for(vertex_->op.platform, ports_.architectures));
    if (emulator) {
      process.args.insert(process.args.begin(), kEmulatorTarget);
      container.mounts.push_back(
          {.what = {"bind", *emulator, {"ro", "bind"}}, .target = kEmulatorTarget, .selector = "", .file = nullptr});
    }
    add_tracing(ports_, container, process);
    ExecProxy proxy(ports_);
    KILN_RETURN_IF_ERROR(proxy.start(op(), container, process, context.stop));
    sandbox::ProcessIo io{
        .on_stdout = [&](std::string_view bytes) { context.reporter.log(event::LogStream::kStdout, bytes); },
        .on_stderr = [&](std::string_view bytes) { context.reporter.log(event::LogStream::kStderr, bytes); }};
    const Result<sandbox::ExitStatus> exit = ports_.runtime->run(container, process, io, context.stop);
    proxy.finish(vertex_->digest, context.reporter);
    if (exit.ok() && exit->samples && ports_.step_records)
      ports_.step_records->set_samples(vertex_->digest, exit->samples);
    return judge(exit);
  }

  // What the end of the process means for the step.
  Status judge(const Result<sandbox::ExitStatus>& exit) const {
    const graph::Meta& meta = op().meta;
    if (!exit.ok()) {
      if (is_cancelled(exit.status())) return exit.status();
      return annotate(exit.status(),
                      fmt::format("process {} did not complete successfully", quote(join(meta.args, " "))));
    }
    return is_valid_exit(meta, exit->code) ? ok() : sandbox::exit_error({.args = meta.args}, *exit);
  }

  Status inject_devices(sandbox::ContainerSpec& container, sandbox::ProcessSpec& process) {
    std::vector<std::string> names;
    for (const graph::CdiDevice& device : op().cdi_devices) {
      Result<std::vector<std::string>> found =
          ports_.devices ? ports_.devices->find(device.name, device.optional)
                         : sandbox::ContainerDevices({.disabled = true}).find(device.name, device.optional);
      KILN_RETURN_IF_ERROR(found.status());
      names.insert(names.end(), found->begin(), found->end());
    }
    if (names.empty()) return ok();
    return annotate(ports_.devices->inject(names, container, process), "CDI device injection failed");
  }

  void tell_failure(ExecMounts& mounts, Status& error) {
    if (!ports_.on_exec_failure) return;
    std::vector<store::TreeRef> inputs = mounts.input_trees();
    ports_.on_exec_failure(*vertex_, std::move(inputs), mounts.left_trees(), error);
  }

  VertexPtr vertex_;
  OpPorts ports_;
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_exec_op(VertexPtr vertex, const OpPorts& ports) {
  return std::make_unique<ExecOp>(std::move(vertex), ports);
}

}  // namespace kiln::op
