#include <fmt/format.h>

#include "base/log.h"
#include "host/fd.h"
#include "session/files.h"
#include "session/internal/packet.h"
#include "session/internal/proto_text.h"

// An entry: size of the path, path, size of the Stat message, the message (without a path), one byte
// that says whether there is a digest, 32 bytes of digest. Sizes are varints.
namespace kiln::session {
namespace {

using internal::ProtoReader;
using internal::put_varint;

constexpr std::string_view kMagic = "kiln tree index 2\n";
constexpr std::size_t kIndexBytesMax = std::size_t{4} << 30;
constexpr std::size_t kDigestBytes = 32;

char from_hex(char c) { return static_cast<char>(c <= '9' ? c - '0' : c - 'a' + 10); }

struct Parts {
  std::string_view path, stat, digest;  // digest: with its leading byte
};

// The entry that `bytes` begin with; false when they are cut short.
bool read_parts(std::string_view bytes, Parts& out) {
  ProtoReader reader(bytes);
  if (!reader.bytes(out.path) || !reader.bytes(out.stat)) return false;
  auto used = static_cast<std::size_t>(reader.at() - bytes.data());
  if (bytes.size() - used < 1 + kDigestBytes) return false;
  out.digest = bytes.substr(used, 1 + kDigestBytes);
  return true;
}

void put_digest(char* to, const Digest& digest) {
  std::string_view hex = digest.empty() ? std::string_view() : digest.hex();
  if (hex.size() != 2 * kDigestBytes) return;
  *to++ = 1;
  for (std::size_t i = 0; i < kDigestBytes; ++i) {
    *to++ = static_cast<char>(from_hex(hex[2 * i]) << 4 | from_hex(hex[2 * i + 1]));
  }
}

}  // namespace

void TreeIndex::clear() {
  bytes_ = {};
  starts_ = {};
}

std::string_view TreeIndex::path(std::size_t entry) const {
  Parts parts;
  read_parts(std::string_view(bytes_).substr(starts_[entry]), parts);
  return parts.path;
}

FileStat TreeIndex::stat(std::size_t entry) const {
  Parts parts;
  read_parts(std::string_view(bytes_).substr(starts_[entry]), parts);
  FileStat out;
  (void)internal::parse_stat(parts.stat, out);  // checked when it was read, or written by us
  out.path = parts.path;
  return out;
}

Digest TreeIndex::digest(std::size_t entry) const {
  Parts parts;
  read_parts(std::string_view(bytes_).substr(starts_[entry]), parts);
  return parts.digest[0] ? Digest::trusted("sha256:" + hex_encode(parts.digest.substr(1))) : Digest();
}

std::optional<std::size_t> TreeIndex::find(std::string_view wanted) const {
  std::size_t from = 0, to = size();
  while (from < to) {
    std::size_t middle = from + (to - from) / 2;
    if (compare_paths(path(middle), wanted) < 0) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  if (from == size() || path(from) != wanted) return std::nullopt;
  return from;
}

void TreeIndex::append(const FileStat& stat, const Digest& digest) {
  starts_.push_back(bytes_.size());
  put_varint(bytes_, stat.path.size());
  bytes_ += stat.path;
  std::string message = internal::encode_stat_without_path(stat);
  put_varint(bytes_, message.size());
  bytes_ += message;
  bytes_.append(1 + kDigestBytes, '\0');
  put_digest(&bytes_[bytes_.size() - 1 - kDigestBytes], digest);
}

void TreeIndex::append(const TreeIndex& from, std::size_t entry) {
  std::size_t start = from.starts_[entry];
  std::size_t end = entry + 1 < from.size() ? from.starts_[entry + 1] : from.bytes_.size();
  starts_.push_back(bytes_.size());
  bytes_.append(from.bytes_, start, end - start);
}

void TreeIndex::set_digest(std::size_t entry, const Digest& digest) {
  std::size_t end = entry + 1 < size() ? starts_[entry + 1] : bytes_.size();
  put_digest(&bytes_[end - 1 - kDigestBytes], digest);
}

// Finds the entries in bytes_; false when they make no sense.
bool TreeIndex::read_starts() {
  starts_.reserve(bytes_.size() / 90);
  std::string_view rest = bytes_, last;
  FileStat ignored;
  while (!rest.empty()) {
    Parts parts;
    if (!read_parts(rest, parts) || !internal::parse_stat(parts.stat, ignored).ok()) return false;
    if (compare_paths(last, parts.path) >= 0) return false;
    last = parts.path;
    starts_.push_back(bytes_.size() - rest.size());
    rest.remove_prefix(static_cast<std::size_t>(parts.digest.data() + parts.digest.size() - rest.data()));
  }
  return true;
}

TreeIndex TreeIndex::load(const std::string& file) {
  TreeIndex out;
  Result<std::string> text = host::read_file(file, kIndexBytesMax);
  if (!text.ok() || !std::string_view(*text).starts_with(kMagic)) return out;
  text->erase(0, kMagic.size());
  out.bytes_ = *std::move(text);
  if (!out.read_starts()) {
    log_warn("the index '{}' is damaged and is ignored", file);
    out.clear();
  }
  return out;
}

Status TreeIndex::save(const std::string& file) const {
  std::string temporary = file + ".new";
  auto write = [&]() -> Status {
    KILN_ASSIGN_OR_RETURN(host::Fd fd, host::open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    KILN_RETURN_IF_ERROR(host::write_all(fd.get(), kMagic));
    KILN_RETURN_IF_ERROR(host::write_all(fd.get(), bytes_));
    if (rename(temporary.c_str(), file.c_str()) != 0) return errno_error(errno, fmt::format("rename '{}'", temporary));
    return ok();
  };
  return annotate(write(), "write a tree's index");
}

}  // namespace kiln::session
