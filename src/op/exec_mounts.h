// The mounts of a step made ready: trees opened for writing where the step may write, caches taken,
// secrets and agents fetched from the clients; and after the step, its outputs.
//
//   ExecMounts mounts(op, ports, inputs);
//   KILN_RETURN_IF_ERROR(mounts.prepare(context));
//   … run with mounts.root(), mounts.mounts() …
//   KILN_ASSIGN_OR_RETURN(auto outputs, mounts.commit_outputs());
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/op.h"
#include "op/cache_mounts.h"
#include "op/op_factory.h"
#include "sandbox/spec.h"
#include "session/ssh.h"
#include "solve/op.h"

namespace kiln::op {

// One run's. One thread at a time. What was not committed is thrown away with this.
class ExecMounts {
 public:
  // All borrowed for the life of this. `description` is what the work trees are called in `du`:
  // "mount / from exec make" from "exec make".
  ExecMounts(const graph::ExecOp& op, const OpPorts& ports, std::vector<store::TreeRef> inputs,
             std::string description);
  ~ExecMounts();

  // Blocking (downloads, clients, waiting for a locked cache), cancellable.
  Status prepare(solve::RunContext& context);

  const host::MountSpec& root() const { return root_; }
  bool root_readonly() const { return root_readonly_; }
  const std::vector<sandbox::Mount>& mounts() const { return mounts_; }
  // For each of mounts(), which mount of the op it is.
  const std::vector<std::size_t>& mount_indexes() const { return mount_indexes_; }

  // The trees of the outputs, in the order of the mounts that have one.
  Result<std::vector<store::TreeRef>> commit_outputs();
  // What a client may look at after a failure: per mount of the op, the tree it came from, and the
  // tree as the step left it (after commit_outputs). Null where there is none.
  std::vector<store::TreeRef> input_trees() const;
  std::vector<store::TreeRef> left_trees();

 private:
  struct Slot {
    store::MutableRef work;  // written by the step
    store::TreeRef output;   // known beforehand, or after commit
    bool is_output = false;
  };

  Status prepare_mount(std::size_t index, solve::RunContext& context);
  Result<host::MountSpec> prepare_bind(std::size_t index, solve::RunContext& context);
  Result<host::MountSpec> prepare_cache(std::size_t index, solve::RunContext& context);
  Result<bool> prepare_secret(const graph::Mount& mount, sandbox::Mount& out, solve::RunContext& context);
  Result<bool> prepare_ssh(const graph::Mount& mount, sandbox::Mount& out, solve::RunContext& context);
  Result<host::MountSpec> make_work(std::size_t index, solve::RunContext& context);
  store::TreeRef input_of(const graph::Mount& mount) const;

  const graph::ExecOp& op_;
  const OpPorts& ports_;
  std::vector<store::TreeRef> inputs_;
  std::string description_;
  host::MountSpec root_;
  bool root_readonly_ = false;
  std::vector<sandbox::Mount> mounts_;
  std::vector<std::size_t> mount_indexes_;
  std::vector<Slot> slots_;
  std::map<std::string, std::shared_ptr<CacheMount>> caches_;  // by key: twice in a step is the same
  std::vector<std::unique_ptr<session::SshSocket>> sockets_;
};

}  // namespace kiln::op
