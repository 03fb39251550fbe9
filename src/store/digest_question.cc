#include "store/internal/digest_question.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "base/gopath.h"
#include "base/quote.h"
#include "host/fs.h"
#include "store/internal/parallel.h"

namespace kiln::store {

namespace {

using Type = DigestNode::Type;
constexpr int kLinksMax = 255;

// A name for *at calls below the root: never empty, never absolute.
const char* below_root(const std::string& path) { return path.empty() ? "." : path.c_str() + 1; }

Status not_found(std::string_view path) {
  return user_error(Code::kNotFound, fmt::format("{}: not found", quote(path)));
}

}  // namespace

Result<int> DigestQuestion::root() {
  if (!root_fd_) {
    KILN_ASSIGN_OR_RETURN(int fd, open_root_());
    root_fd_ = fd;
  }
  return *root_fd_;
}

Status DigestQuestion::list(DigestNode& directory, const std::string& path) {
  if (directory.listed) return ok();
  if (stop_.stop_requested()) return cancelled();
  KILN_ASSIGN_OR_RETURN(int at, root());
  KILN_ASSIGN_OR_RETURN(host::Fd dir, host::open_at(at, below_root(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  DIR* stream = ::fdopendir(dir.get());
  if (!stream) return errno_error(errno, fmt::format("list '{}'", path));
  dir.release();
  while (struct dirent* entry = ::readdir(stream)) {
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    unsigned char kind = entry->d_type;
    if (kind == DT_UNKNOWN) {
      struct stat info;
      if (::fstatat(::dirfd(stream), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) kind = IFTODT(info.st_mode);
    }
    auto child = std::make_unique<DigestNode>();
    child->name = name;
    child->type = kind == DT_DIR ? Type::kDirectory : kind == DT_LNK ? Type::kSymlink : Type::kFile;
    directory.children.push_back(std::move(child));
  }
  ::closedir(stream);
  std::sort(directory.children.begin(), directory.children.end(),
            [](const auto& a, const auto& b) { return a->name < b->name; });
  directory.listed = true;
  learned_ = true;
  return ok();
}

Status DigestQuestion::read_link(DigestNode& node, const std::string& path) {
  if (!node.link.empty()) return ok();
  KILN_ASSIGN_OR_RETURN(int at, root());
  KILN_ASSIGN_OR_RETURN(node.link, host::read_link_at(at, below_root(path)));
  return ok();
}

Result<DigestQuestion::Place> DigestQuestion::resolve(std::string_view path, bool follow_last) {
  std::vector<std::pair<DigestNode*, std::string>> stack = {{&root_, ""}};  // free of links
  std::string rest(path);
  int links = 0;
  while (!rest.empty()) {
    std::size_t slash = rest.find('/');
    std::string part = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (stack.size() > 1) stack.pop_back();
      continue;
    }
    auto& [above, above_path] = stack.back();
    DigestNode* node = nullptr;
    if (above && above->type == Type::kDirectory) {
      KILN_RETURN_IF_ERROR(list(*above, above_path));
      node = above->child(part);
    }
    std::string here = above_path + "/" + part;
    if (!node || node->type != Type::kSymlink || (!follow_last && rest.empty())) {
      stack.emplace_back(node, std::move(here));
      continue;
    }
    if (++links > kLinksMax) return user_error(Code::kFailedPrecondition, "too many links");
    KILN_RETURN_IF_ERROR(read_link(*node, here));
    rest = node->link + "/" + rest;
    if (node->link.starts_with('/')) stack.resize(1);
  }
  return Place{stack.back().first, stack.back().second};
}

Status DigestQuestion::collect_missing(DigestNode& node, const std::string& path, std::vector<Missing>& missing) {
  if (node.type != Type::kDirectory) {
    if (!node.sum.known) missing.push_back({&node, path});
    return ok();
  }
  if (node.sum.known) return ok();
  if (!node.header.known) missing.push_back({&node, path});
  KILN_RETURN_IF_ERROR(list(node, path));
  for (auto& child : node.children) KILN_RETURN_IF_ERROR(collect_missing(*child, path + "/" + child->name, missing));
  return ok();
}

Result<Sum> DigestQuestion::hash_one(const DigestNode& node, const std::string& path, int root) const {
  const char* name = below_root(path);
  struct stat info;
  if (::fstatat(root, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, fmt::format("stat '{}'", path));
  const bool has_bytes = S_ISREG(info.st_mode) && info.st_size > 0;
  if (has_bytes && memo_) {
    if (std::optional<Sum> sum = memo_->find(info)) return *sum;
  }
  FileFacts facts{.mode = info.st_mode, .uid = info.st_uid, .gid = info.st_gid, .size = info.st_size};
  host::Fd file;
  host::Xattrs xattrs;
  if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) {
    KILN_ASSIGN_OR_RETURN(file, host::open_at(root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    KILN_ASSIGN_OR_RETURN(xattrs, host::xattrs_of(file.get()));
  } else {
    KILN_ASSIGN_OR_RETURN(xattrs, host::xattrs_of(fmt::format("{}/{}", host::fd_path(root), name)));
  }
  if (node.type == Type::kSymlink) {
    KILN_ASSIGN_OR_RETURN(facts.link, host::read_link_at(root, name));
  }
  for (auto& [key, value] : xattrs) {  // overlay's own are not the tree's
    if (!key.starts_with("trusted.overlay.") && !key.starts_with("user.overlay.")) facts.xattrs.emplace(key, value);
  }
  FileDigester digester(facts);
  if (has_bytes) {
    thread_local std::vector<char> buffer(kChunkBytes);
    for (;;) {
      if (stop_.stop_requested()) return cancelled();
      KILN_ASSIGN_OR_RETURN(std::size_t n, host::read_some(file.get(), buffer));
      if (n == 0) break;
      digester.update(std::string_view(buffer.data(), n));
    }
  }
  Sum sum = Sum::of(digester.finish());
  if (has_bytes && memo_) memo_->put(info, sum);
  return sum;
}

Status DigestQuestion::hash_all(std::vector<Missing> missing) {
  if (missing.empty()) return ok();
  learned_ = true;
  KILN_ASSIGN_OR_RETURN(int at, root());
  constexpr std::size_t kPiece = 32;
  std::atomic<std::size_t> next = 0;
  auto work = [&](std::stop_token stop) -> Status {
    for (std::size_t begin; (begin = next.fetch_add(kPiece)) < missing.size();) {
      for (std::size_t i = begin; i < std::min(begin + kPiece, missing.size()); ++i) {
        if (stop.stop_requested()) return cancelled();
        auto& [node, path] = missing[i];
        KILN_ASSIGN_OR_RETURN(Sum sum, hash_one(*node, path, at));
        (node->type == Type::kDirectory ? node->header : node->sum) = sum;
      }
    }
    return ok();
  };
  std::size_t threads =
      std::min<std::size_t>(std::max(1u, std::thread::hardware_concurrency()), (missing.size() + kPiece - 1) / kPiece);
  return run_together(pool_, std::vector<std::function<Status(std::stop_token)>>(threads, work), stop_, threads);
}

Sum DigestQuestion::combine(DigestNode& node) {
  if (node.type != Type::kDirectory || node.sum.known) return node.sum;
  Hasher hasher;
  hasher.update(std::string_view("\0", 1));
  hasher.update(node.header.text());
  for (auto& child : node.children) {
    hasher.update(std::string_view("\0", 1));
    hasher.update(child->name);
    hasher.update(combine(*child).text());
  }
  node.sum = Sum::of(hasher.finish());
  return node.sum;
}

Result<Digest> DigestQuestion::digest_of(std::string_view path, bool follow_last) {
  KILN_ASSIGN_OR_RETURN(Place place, resolve(path, follow_last));
  if (!place.node) return not_found(path.empty() ? "/" : path);
  std::vector<Missing> missing;
  KILN_RETURN_IF_ERROR(collect_missing(*place.node, place.path, missing));
  KILN_RETURN_IF_ERROR(hash_all(std::move(missing)));
  return Digest::trusted(combine(*place.node).text());
}

}  // namespace kiln::store
