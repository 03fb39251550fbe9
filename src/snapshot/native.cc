#include "snapshot/native.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "snapshot/overlay.h"

namespace kiln::snapshot {

namespace {

using host::MountSpec;

class NativeSnapshotter final : public Snapshotter {
 public:
  explicit NativeSnapshotter(std::string root) : root_(std::move(root)) {}

  std::string_view name() const override { return "native"; }
  Material material() const override { return Material::kWholeTree; }

  Status prepare(const std::string& id, const Chain& parents, std::stop_token stop) override {
    std::string at = fmt::format("{}/{}", root_, id);
    if (::mkdir(at.c_str(), 0700) != 0) return errno_error(errno, fmt::format("make snapshot '{}'", id));
    std::string fs = directory(id);
    Status made = host::make_dir(fs);
    if (made.ok() && ::chmod(fs.c_str(), 0755) != 0) made = errno_error(errno, fmt::format("chmod '{}'", fs));
    if (made.ok() && !parents.empty()) made = host::copy_tree(directory(parents.back()), fs, {}, stop);
    if (!made.ok()) (void)host::remove_all(at);
    return made;
  }

  Status commit(const std::string& id) override {
    if (!host::exists(directory(id))) return errno_error(ENOENT, fmt::format("commit snapshot '{}'", id));
    return ok();
  }

  Result<MountSpec> mounts(const Chain& chain, const std::string& writable) override {
    if (!writable.empty()) return MountSpec{"bind", directory(writable), {}};
    return MountSpec{"bind", chain.empty() ? root_ + "/empty" : directory(chain.back()), {"ro"}};
  }

  std::string directory(const std::string& id) const override {
    return id.empty() ? root_ + "/empty" : fmt::format("{}/{}/fs", root_, id);
  }
  bool direct(const Chain&) const override { return true; }
  Status remove(const std::string& id) override { return host::remove_all(fmt::format("{}/{}", root_, id)); }

  Result<host::DiskUsage> usage(const std::string& id, std::stop_token stop) override {
    return host::disk_usage(directory(id), stop);
  }

  Result<std::vector<std::string>> list() override {
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(root_));
    std::erase(names, "empty");
    return names;
  }

 private:
  std::string root_;
};

}  // namespace

Result<std::unique_ptr<Snapshotter>> open_native(const std::string& root) {
  KILN_RETURN_IF_ERROR(host::make_dirs(root, 0700));
  KILN_RETURN_IF_ERROR(host::make_dir(root + "/empty", 0755));
  return std::make_unique<NativeSnapshotter>(root);
}

Result<std::unique_ptr<Snapshotter>> open_snapshotter(const std::string& name, const std::string& root) {
  if (name == "overlayfs") return open_overlay(root + "/overlayfs");
  if (name == "native") return open_native(root + "/native");
  if (!name.empty() && name != "auto") {
    return user_error(Code::kInvalidArgument,
                      fmt::format("unknown snapshotter '{}'; use 'auto', 'overlayfs' or 'native'", name));
  }
  Result<std::unique_ptr<Snapshotter>> overlay = open_overlay(root + "/overlayfs");
  if (overlay.ok()) return overlay;
  log_warn("{}; copying whole trees instead", message_of(overlay.status()));
  return open_native(root + "/native");
}

}  // namespace kiln::snapshot
