#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "host/fd.h"
#include "session/files.h"
#include "session/internal/packet.h"
#include "session/internal/proto_text.h"

namespace kiln::session {
namespace {

using internal::ProtoReader;
using internal::put_bytes;
using internal::put_uint;
using internal::put_varint;

constexpr std::string_view kMagic = "kiln tree index 1\n";
constexpr std::size_t kIndexBytesMax = std::size_t{2} << 30;

char from_hex(char c) { return static_cast<char>(c <= '9' ? c - '0' : c - 'a' + 10); }

// "sha256:…" as its 32 bytes.
std::string packed(const Digest& digest) {
  std::string out;
  std::string_view hex = digest.empty() ? std::string_view() : digest.hex();
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(from_hex(hex[i]) << 4 | from_hex(hex[i + 1])));
  }
  return out;
}

bool parse_entry(std::string_view bytes, std::string& path, IndexedFile& out) {
  ProtoReader reader(bytes);
  std::uint64_t shared = 0;
  std::string_view stat, digest;
  if (!reader.varint(shared) || shared > path.size() || !reader.bytes(stat) || !reader.bytes(digest)) return false;
  if (!internal::parse_stat(stat, out.stat).ok() || (!digest.empty() && digest.size() != 32)) return false;
  path.resize(shared);
  path += out.stat.path;
  out.stat.path = path;
  if (!digest.empty()) out.digest = Digest::trusted("sha256:" + hex_encode(digest));
  return true;
}

}  // namespace

TreeIndex TreeIndex::load(const std::string& file) {
  TreeIndex out;
  Result<std::string> text = host::read_file(file, kIndexBytesMax);
  if (!text.ok()) return out;
  std::string_view rest = *text;
  if (!rest.starts_with(kMagic)) return out;
  rest.remove_prefix(kMagic.size());
  ProtoReader reader(rest);
  std::uint64_t count = 0;
  if (!reader.varint(count) || count > rest.size()) return out;
  std::vector<IndexedFile> entries;
  entries.reserve(count);
  std::string path;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string_view entry;
    entries.emplace_back();
    if (!reader.bytes(entry) || !parse_entry(entry, path, entries.back())) {
      log_warn("the index '{}' is damaged and is ignored", file);
      return out;
    }
  }
  out.entries_ = std::move(entries);
  return out;
}

Status TreeIndex::save(const std::string& file) const {
  std::string text(kMagic);
  text.reserve(entries_.size() * 100);
  put_varint(text, entries_.size());
  std::string_view last;
  std::string entry;
  for (const IndexedFile& it : entries_) {
    const std::string& path = it.stat.path;
    auto shared = static_cast<std::size_t>(
        std::mismatch(path.begin(), path.end(), last.begin(), last.end()).first - path.begin());
    FileStat stat = it.stat;
    stat.path.erase(0, shared);
    std::string stat_bytes = internal::encode_stat(stat), digest = packed(it.digest);
    entry.clear();
    put_varint(entry, shared);
    put_varint(entry, stat_bytes.size());
    entry += stat_bytes;
    put_varint(entry, digest.size());
    entry += digest;
    put_varint(text, entry.size());
    text += entry;
    last = path;
  }
  return annotate(host::replace_file(file, text, 0600), "write a tree's index");
}

}  // namespace kiln::session
