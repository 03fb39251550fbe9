// Network plug-ins of the Container Network Interface: a chain of programs that set a namespace up
// and take it down again. This file knows the configuration and how the programs are called.
//
//   KILN_ASSIGN_OR_RETURN(CniPlugins plugins, CniPlugins::load("/etc/buildkit/cni.json", "/opt/cni/bin"));
//   KILN_ASSIGN_OR_RETURN(std::string result, plugins.add({id, "/run/ns/x"}, stop));
//   plugins.remove({id, "/run/ns/x"}, result, stop);
//
// Format: CNI specification 0.3 to 1.0 (github.com/containernetworking/cni, SPEC.md); a file that
// ends in ".conflist" is a list, any other one plug-in.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "base/status.h"

namespace kiln::sandbox {

// One namespace as plug-ins are told of it.
struct CniTarget {
  std::string id;        // unique on the machine
  std::string netns;     // path; empty when it is gone already
  std::string hostname;  // for plug-ins that serve names; may be empty
};

// Immutable; any thread.
class CniPlugins {
 public:
  // NotFound and InvalidArgument name the file.
  static Result<CniPlugins> load(const std::string& config_path, const std::string& program_folder);

  // Runs the chain; gives its result as JSON. What a failed chain began is taken back. Blocks.
  Result<std::string> add(const CniTarget& target, std::stop_token stop) const;
  // Runs the chain backwards with the result that add gave; goes on after a failure, gives the first.
  Status remove(const CniTarget& target, const std::string& result, std::stop_token stop) const;

 private:
  struct Chain;
  Result<std::string> call(std::size_t plugin, const char* command, const CniTarget& target,
                           const std::string& previous, std::stop_token stop) const;
  std::shared_ptr<const Chain> chain_;
};

// The interface that a result names on the host's side (a "veth…" outside of any namespace); empty
// when there is none, or more than one.
std::string host_interface_of(const std::string& result);

}  // namespace kiln::sandbox
