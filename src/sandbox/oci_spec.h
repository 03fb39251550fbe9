// The config.json of an OCI bundle (runtime-spec 1.0.2) for a container, with the same namespaces,
// mounts, paths, capabilities and filter that the native runner sets up itself.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "sandbox/program.h"
#include "sandbox/runtime.h"
#include "sandbox/spec.h"
#include "sandbox/user.h"

namespace kiln::sandbox {

// What the caller has prepared; all paths are the host's.
struct OciSurroundings {
  std::string root_path;
  struct Bind {
    std::string path;    // on the host
    std::string target;  // in the container
    std::vector<std::string> options;
  };
  std::vector<Bind> binds;  // the container's mounts, in order
  std::string resolv_conf;
  std::string hosts;
  std::string network_path;  // namespace to join; empty: as container.network says
  std::string cgroups_path;  // empty: leave cgroups alone
  bool cgroup_mount = true;
  bool cgroup_namespace = false;
  bool host_pids = false;
  std::string apparmor_profile;  // of steps in sandbox mode; empty: none
};

std::string oci_config(const ContainerSpec& container, const ProcessSpec& process, const User& user,
                       const std::vector<std::string>& env, const OciSurroundings& surroundings);
// The process object alone, for `exec --process`.
std::string oci_process(const ProcessSpec& process, SecurityMode security, const User& user,
                        const std::vector<std::string>& env, const std::string& cwd,
                        const std::string& apparmor_profile);

}  // namespace kiln::sandbox
