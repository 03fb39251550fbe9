#include "export/internal/text_files.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "export/internal/result_tree.h"

namespace kiln::exporter::internal {
namespace {

// Several trees walked as one. Trees are remembered entry by entry only for the smaller ones: the
// first is walked as it is, what the others have is merged in.
class MergedFiles final : public session::FileTree {
 public:
  explicit MergedFiles(std::vector<std::shared_ptr<session::FileTree>> trees) : trees_(std::move(trees)) {}

  Status walk(const std::function<Status(session::FileStat&)>& visit, std::stop_token stop) override {
    std::map<std::string, session::FileStat, Order> later;
    for (std::size_t i = 1; i < trees_.size(); ++i) {
      KILN_RETURN_IF_ERROR(trees_[i]->walk(
          [&](session::FileStat& stat) {
            later[stat.path] = stat;
            return ok();
          },
          stop));
    }
    auto next = later.begin();
    KILN_RETURN_IF_ERROR(trees_.front()->walk(
        [&](session::FileStat& stat) -> Status {
          while (next != later.end() && session::compare_paths(next->first, stat.path) < 0) {
            KILN_RETURN_IF_ERROR(visit((next++)->second));
          }
          if (next != later.end() && next->first == stat.path) return visit((next++)->second);
          return visit(stat);
        },
        stop));
    for (; next != later.end(); ++next) KILN_RETURN_IF_ERROR(visit(next->second));
    return ok();
  }

  Result<host::Fd> open(const std::string& path) override {
    for (std::size_t i = trees_.size(); i > 1; --i) {
      auto fd = trees_[i - 1]->open(path);
      if (fd.ok() || !is_not_found(fd.status())) return fd;
    }
    return trees_.front()->open(path);
  }

  Result<std::shared_ptr<session::FileTree>> filtered(const session::TreeFilter&) override {
    return std::shared_ptr<session::FileTree>();
  }

 private:
  struct Order {
    bool operator()(const std::string& a, const std::string& b) const { return session::compare_paths(a, b) < 0; }
  };
  std::vector<std::shared_ptr<session::FileTree>> trees_;
};

}  // namespace

bool TextFiles::add(session::FileStat stat, std::string text) {
  stat.size = static_cast<std::int64_t>(text.size());
  std::string path = stat.path;
  return files_.try_emplace(std::move(path), std::move(stat), std::move(text)).second;
}

Status TextFiles::walk(const std::function<Status(session::FileStat&)>& visit, std::stop_token stop) {
  for (const auto& [path, file] : files_) {
    if (stop.stop_requested()) return cancelled();
    session::FileStat stat = file.first;
    KILN_RETURN_IF_ERROR(visit(stat));
  }
  return ok();
}

Result<host::Fd> TextFiles::open(const std::string& path) {
  auto it = files_.find(path);
  if (it == files_.end()) return environment_error(Code::kNotFound, fmt::format("'{}' not found", path));
  host::Fd fd(::memfd_create("kiln-export", MFD_CLOEXEC));
  if (!fd.valid()) return errno_error(errno, "memfd_create");
  KILN_RETURN_IF_ERROR(host::write_all(fd.get(), it->second.second));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return errno_error(errno, "lseek");
  return fd;
}

std::shared_ptr<session::FileTree> merged_files(std::vector<std::shared_ptr<session::FileTree>> trees) {
  if (trees.size() == 1) return trees.front();
  return std::make_shared<MergedFiles>(std::move(trees));
}

}  // namespace kiln::exporter::internal
