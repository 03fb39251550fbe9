#include "store/internal/digest_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/text.h"
#include "store/internal/digest_question.h"

namespace kiln::store {

namespace {

constexpr std::size_t kMemoFilesMax = 64 * 1024;
constexpr std::string_view kMagic = "kiln-digests-1\n";

int hex_value(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

std::int64_t nanoseconds(const struct timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

Sum Sum::of(const Digest& digest) {
  Sum sum;
  std::string_view hex = digest.hex();
  if (hex.size() != 64) return sum;
  for (std::size_t i = 0; i < 32; ++i) {
    sum.bytes[i] = static_cast<unsigned char>(hex_value(hex[2 * i]) * 16 + hex_value(hex[2 * i + 1]));
  }
  sum.known = true;
  return sum;
}

std::string Sum::text() const {
  return "sha256:" + hex_encode(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

FileMemo::Key FileMemo::key_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, info.st_size, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

std::optional<Sum> FileMemo::find(const struct stat& info) {
  std::lock_guard lock(mutex_);
  auto at = sums_.find(key_of(info));
  return at == sums_.end() ? std::nullopt : std::optional(at->second);
}

void FileMemo::put(const struct stat& info, const Sum& sum) {
  std::lock_guard lock(mutex_);
  if (sums_.size() >= kMemoFilesMax) sums_.clear();  // what is still asked comes back by itself
  sums_.insert_or_assign(key_of(info), sum);
}

DigestNode* DigestNode::child(std::string_view want) const {
  auto at = std::lower_bound(children.begin(), children.end(), want,
                             [](const std::unique_ptr<DigestNode>& a, std::string_view b) { return a->name < b; });
  return at != children.end() && (*at)->name == want ? at->get() : nullptr;
}

DigestNode* DigestNode::make_child(std::string_view want) {
  auto at = std::lower_bound(children.begin(), children.end(), want,
                             [](const std::unique_ptr<DigestNode>& a, std::string_view b) { return a->name < b; });
  if (at != children.end() && (*at)->name == want) return at->get();
  auto made = std::make_unique<DigestNode>();
  made->name = want;
  return children.insert(at, std::move(made))->get();
}

DigestIndex::DigestIndex()
    : instance_([] {
        static std::atomic<std::uint64_t> last = 0;
        return ++last;
      }()) {
  root_.type = DigestNode::Type::kDirectory;
}

Result<Digest> DigestIndex::checksum(std::string_view path, const ChecksumOptions& options, const OpenRoot& open_root,
                                     Pool* pool, FileMemo* memo, std::stop_token stop) {
  std::lock_guard lock(mutex_);
  DigestQuestion question(root_, open_root, pool, memo, stop);
  Result<Digest> answer = question.answer(path, options);
  dirty_ = dirty_ || question.learned();
  return answer;
}

Result<std::vector<event::FileSum>> DigestIndex::listing(std::string_view path, const ChecksumOptions& options,
                                                         const OpenRoot& open_root, std::size_t entries_max,
                                                         std::stop_token stop) {
  std::lock_guard lock(mutex_);
  return DigestQuestion(root_, open_root, nullptr, nullptr, stop).listing(path, options, entries_max);
}

void DigestIndex::begin_seeding() {
  if (seeded_) return;
  seeded_ = true;
  root_.children.clear();
  root_.listed = true;
  root_.header = Sum::of(Digest::of(""));
}

void DigestIndex::seed(std::string_view path, const FileFacts& facts, const Digest& digest) {
  std::lock_guard lock(mutex_);
  begin_seeding();
  dirty_ = true;
  DigestNode* node = &root_;
  node->sum.known = false;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (node->type != DigestNode::Type::kDirectory) {
      node->type = DigestNode::Type::kDirectory;
      node->listed = true;
      node->header.known = false;
    }
    node = node->make_child(part);
    node->sum.known = false;
  }
  if (node == &root_) return;
  if (S_ISDIR(facts.mode)) {
    node->type = DigestNode::Type::kDirectory;
    node->listed = true;
    node->link.clear();
    node->header = Sum::of(digest);
    return;
  }
  node->children.clear();
  node->type = S_ISLNK(facts.mode) ? DigestNode::Type::kSymlink : DigestNode::Type::kFile;
  node->link = S_ISLNK(facts.mode) ? facts.link : "";
  node->sum = Sum::of(digest);
}

void DigestIndex::forget(std::string_view path) {
  std::lock_guard lock(mutex_);
  begin_seeding();
  dirty_ = true;
  DigestNode* node = &root_;
  DigestNode* above = nullptr;
  node->sum.known = false;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    above = node;
    node = node->child(part);
    if (!node) return;
    if (node->type == DigestNode::Type::kDirectory) node->sum.known = false;
  }
  if (!above) {
    root_.children.clear();
    return;
  }
  std::erase_if(above->children, [&](const std::unique_ptr<DigestNode>& child) { return child.get() == node; });
}

namespace {

void put_text(std::string& out, std::string_view text) {
  std::uint32_t size = static_cast<std::uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out.append(text);
}

void put_sum(std::string& out, const Sum& sum) {
  out += sum.known ? '\1' : '\0';
  if (sum.known) out.append(reinterpret_cast<const char*>(sum.bytes.data()), sum.bytes.size());
}

void put_node(std::string& out, const DigestNode& node) {
  out += static_cast<char>(node.type);
  out += node.listed ? '\1' : '\0';
  put_text(out, node.name);
  put_text(out, node.link);
  put_sum(out, node.sum);
  put_sum(out, node.header);
  std::uint32_t count = static_cast<std::uint32_t>(node.children.size());
  out.append(reinterpret_cast<const char*>(&count), sizeof count);
  for (const auto& child : node.children) put_node(out, *child);
}

// Reads what put_node wrote; false when the bytes are cut short.
class NodeReader {
 public:
  explicit NodeReader(std::string_view bytes) : rest_(bytes) {}
  bool node(DigestNode& into, int depth = 0) {
    std::uint32_t count = 0;
    char type = 0, listed = 0;
    if (depth > 4096 || !raw(&type, 1) || type > 2 || !raw(&listed, 1) || !text(into.name) || !text(into.link) ||
        !sum(into.sum) || !sum(into.header) || !raw(&count, sizeof count) || count > rest_.size()) {
      return false;
    }
    into.type = static_cast<DigestNode::Type>(type);
    into.listed = listed != 0;
    into.children.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      into.children.push_back(std::make_unique<DigestNode>());
      if (!node(*into.children.back(), depth + 1)) return false;
    }
    return true;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  bool raw(void* to, std::size_t size) {
    if (rest_.size() < size) return false;
    std::memcpy(to, rest_.data(), size);
    rest_.remove_prefix(size);
    return true;
  }
  bool text(std::string& to) {
    std::uint32_t size = 0;
    if (!raw(&size, sizeof size) || rest_.size() < size) return false;
    to.assign(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return true;
  }
  bool sum(Sum& to) {
    char known = 0;
    if (!raw(&known, 1)) return false;
    to.known = known != 0;
    return !to.known || raw(to.bytes.data(), to.bytes.size());
  }
  std::string_view rest_;
};

}  // namespace

std::string DigestIndex::serialize() {
  std::lock_guard lock(mutex_);
  std::string out(kMagic);
  out += seeded_ ? '\1' : '\0';
  put_node(out, root_);
  dirty_ = false;
  // A torn file is told by its own digest.
  return out + Digest::of(out).str();
}

Result<std::shared_ptr<DigestIndex>> DigestIndex::parse(std::string_view bytes) {
  constexpr std::size_t kTrailer = 71;
  auto damaged = [] { return engine_error("stored content digests are damaged"); };
  if (!bytes.starts_with(kMagic) || bytes.size() < kMagic.size() + 1 + kTrailer) return damaged();
  std::string_view body = bytes.substr(0, bytes.size() - kTrailer);
  if (Digest::of(body).str() != bytes.substr(body.size())) return damaged();
  auto index = std::make_shared<DigestIndex>();
  index->seeded_ = body[kMagic.size()] != 0;
  NodeReader reader(body.substr(kMagic.size() + 1));
  if (!reader.node(index->root_) || !reader.at_end()) return damaged();
  return index;
}

}  // namespace kiln::store
