#include "snapshot/overlay.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/text.h"
#include "snapshot/internal/stacks.h"

namespace kiln::snapshot {

namespace {

using host::MountSpec;

// In a user namespace only "user." attributes may be set on a file.
bool in_user_namespace() {
  Result<std::string> map = host::read_file("/proc/self/uid_map", 4096);
  if (!map.ok()) return false;
  std::vector<std::string_view> fields = words(*map);
  return fields.size() < 3 || fields[0] != "0" || fields[1] != "0" || fields[2] != "4294967295";
}

class OverlaySnapshotter final : public Snapshotter {
 public:
  OverlaySnapshotter(std::string root, std::vector<std::string> options, std::unique_ptr<Stacks> stacks)
      : root_(std::move(root)), options_(std::move(options)), stacks_(std::move(stacks)) {}

  std::string_view name() const override { return "overlayfs"; }
  Material material() const override { return Material::kDifference; }

  Status prepare(const std::string& id, const Chain& parents, std::stop_token) override {
    std::string at = fmt::format("{}/{}", root_, id);
    if (::mkdir(at.c_str(), 0700) != 0) return errno_error(errno, fmt::format("make snapshot '{}'", id));
    std::string fs = at + "/fs", work = at + "/work";
    Status made = host::make_dir(fs);
    if (made.ok() && ::chmod(fs.c_str(), 0755) != 0) made = errno_error(errno, fmt::format("chmod '{}'", fs));
    if (made.ok() && !parents.empty()) {
      made = host::make_dir(work, 0711);
      // The upper directory is what is seen as the root: it keeps the owner of the one below.
      struct stat below;
      if (made.ok() && !parents.back().empty() && ::stat(directory(parents.back()).c_str(), &below) == 0 &&
          (below.st_uid != ::geteuid() || below.st_gid != ::getegid()) &&
          ::chown(fs.c_str(), below.st_uid, below.st_gid) != 0) {
        made = errno_error(errno, fmt::format("chown '{}'", fs));
      }
    }
    if (!made.ok()) (void)host::remove_all(at);
    return made;
  }

  Status commit(const std::string& id) override {
    if (!host::exists(directory(id))) return errno_error(ENOENT, fmt::format("commit snapshot '{}'", id));
    return host::remove_all(fmt::format("{}/{}/work", root_, id));
  }

  Result<MountSpec> mounts(const Chain& chain, const std::string& writable) override {
    if (writable.empty()) return readonly(chain);
    std::string fs = directory(writable);
    if (chain.empty()) return MountSpec{"bind", fs, {}};
    std::string work = fmt::format("{}/{}/work", root_, writable);
    // A volatile overlay leaves this mark so that nobody trusts it after a crash; nobody does.
    KILN_RETURN_IF_ERROR(host::remove_all(work + "/work/incompat"));
    MountSpec spec{"overlay", "overlay", options_};
    KILN_ASSIGN_OR_RETURN(std::string lowers, lower_dirs(chain));
    spec.options.push_back(std::move(lowers));
    spec.options.push_back("upperdir=" + host::escape_overlay_path(fs));
    spec.options.push_back("workdir=" + host::escape_overlay_path(work));
    return spec;
  }

  std::string directory(const std::string& id) const override {
    return id.empty() ? root_ + "/empty" : fmt::format("{}/{}/fs", root_, id);
  }
  bool direct(const Chain& parents) const override { return parents.empty(); }
  Status remove(const std::string& id) override {
    KILN_RETURN_IF_ERROR(stacks_->forget(id));
    return host::remove_all(fmt::format("{}/{}", root_, id));
  }

  Result<host::DiskUsage> usage(const std::string& id, std::stop_token stop) override {
    return host::disk_usage(directory(id), stop);
  }

  Result<std::vector<std::string>> list() override {
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(root_));
    std::erase_if(names,
                  [](const std::string& name) { return name == "empty" || name == "probed" || name == "stacks"; });
    return names;
  }

 private:
  Result<MountSpec> readonly(const Chain& chain) const {
    if (chain.empty()) return MountSpec{"bind", root_ + "/empty", {"ro"}};
    if (chain.size() == 1) return MountSpec{"bind", directory(chain[0]), {"ro"}};
    MountSpec spec{"overlay", "overlay", {"ro"}};
    for (const std::string& option : options_) {
      if (option != "volatile") spec.options.push_back(option);
    }
    KILN_ASSIGN_OR_RETURN(std::string lowers, lower_dirs(chain));
    spec.options.push_back(std::move(lowers));
    return spec;
  }

  Result<std::string> lower_dirs(const Chain& chain) const {
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> dirs,
                          stacks_->lower_dirs(chain, [this](const std::string& id) { return directory(id); }));
    std::string text = "lowerdir=";
    for (auto dir = dirs.rbegin(); dir != dirs.rend(); ++dir) {
      if (dir != dirs.rbegin()) text += ':';
      text += host::escape_overlay_path(*dir);
    }
    return text;
  }

  std::string root_;
  std::vector<std::string> options_;
  std::unique_ptr<Stacks> stacks_;
};

// Whether an overlay with these options can be written to below `dir`.
Status try_options(const std::string& dir, const std::vector<std::string>& options) {
  KILN_ASSIGN_OR_RETURN(host::TempDir place, host::TempDir::make("probe-", dir));
  for (const char* name : {"/low", "/up", "/work"}) KILN_RETURN_IF_ERROR(host::make_dir(place.path() + name));
  MountSpec spec{"overlay", "overlay", options};
  spec.options.push_back(fmt::format("lowerdir={}/low", host::escape_overlay_path(place.path())));
  spec.options.push_back(fmt::format("upperdir={}/up", host::escape_overlay_path(place.path())));
  spec.options.push_back(fmt::format("workdir={}/work", host::escape_overlay_path(place.path())));
  KILN_ASSIGN_OR_RETURN(host::Fd mount, host::open_mount(spec));
  return host::open_at(mount.get(), "file", O_WRONLY | O_CREAT).status();
}

// The options that work below `root`.
Result<std::vector<std::string>> probe_options(const std::string& root) {
  using Options = std::vector<std::string>;
  const Options plain = in_user_namespace() ? Options{"userxattr", "index=off"}
                                            : Options{"index=off", "metacopy=off", "redirect_dir=off"};
  Status why;
  for (Options options : {plain, Options{}}) {
    options.push_back("volatile");
    why = try_options(root, options);
    if (!why.ok()) {
      options.pop_back();
      why = try_options(root, options);
    }
    if (why.ok()) return options;
  }
  return environment_error(Code::kUnavailable,
                           fmt::format("overlayfs does not work in '{}': {}", root, message_of(why)));
}

}  // namespace

Result<std::unique_ptr<Snapshotter>> open_overlay(const std::string& root) {
  KILN_RETURN_IF_ERROR(host::make_dirs(root, 0700));
  KILN_RETURN_IF_ERROR(host::make_dir(root + "/empty", 0755));
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<Stacks> stacks, Stacks::open(root + "/stacks", in_user_namespace()));
  // What worked since this boot works still; unmounting the probe is most of a start's time.
  const std::string note = root + "/probed";
  Result<std::string> boot = host::read_file("/proc/sys/kernel/random/boot_id", 4096);
  const std::string stamp = fmt::format("{} {}", boot.ok() ? trim(*boot) : "", in_user_namespace());
  if (Result<std::string> known = host::read_file(note, 4096); boot.ok() && known.ok()) {
    auto [when, text] = split_once(*known, '\n');
    if (when == stamp) {
      std::vector<std::string> options;
      for (std::string_view option : words(text)) options.emplace_back(option);
      return std::make_unique<OverlaySnapshotter>(root, options, std::move(stacks));
    }
  }
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> options, probe_options(root));
  (void)host::replace_file(note, fmt::format("{}\n{}", stamp, join(options, " ")), 0600);
  return std::make_unique<OverlaySnapshotter>(root, options, std::move(stacks));
}

}  // namespace kiln::snapshot
