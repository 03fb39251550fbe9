#include "layer/tar_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace kiln::layer {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kSpecialBytesMax = 8 << 20;  // of a pax header or a long name

Status bad(std::string_view what) { return peer_error(Code::kFailedPrecondition, fmt::format("tar: {}", what)); }

std::string_view field(const char* block, std::size_t at, std::size_t size) {
  std::string_view text(block + at, size);
  return text.substr(0, text.find('\0'));
}

// Octal with blanks around, or GNU base-256 (first bit set; two's complement).
std::optional<std::int64_t> number(const char* block, std::size_t at, std::size_t size) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(block + at);
  if (bytes[0] & 0x80) {
    bool negative = bytes[0] & 0x40;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < size; ++i) {
      unsigned char byte = bytes[i];
      if (i == 0) byte = negative ? byte : byte & 0x7f;
      if (value >> 56 != (negative ? 0xffu : 0u) && i >= size - 8) return std::nullopt;
      value = value << 8 | byte;
    }
    return static_cast<std::int64_t>(value);
  }
  std::string_view text(block + at, size);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\0')) text.remove_prefix(1);
  text = text.substr(0, text.find_first_of(std::string_view(" \0", 2)));
  if (text.empty()) return 0;
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool checksum_fits(const char* block) {
  auto stored = number(block, 148, 8);
  if (!stored) return false;
  std::int64_t plain = 0, with_signs = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    char c = i >= 148 && i < 156 ? ' ' : block[i];
    plain += static_cast<unsigned char>(c);
    with_signs += static_cast<signed char>(c);
  }
  return *stored == plain || *stored == with_signs;
}

bool all_zero(const char* block) { return block[0] == '\0' && std::memcmp(block, block + 1, kBlock - 1) == 0; }

std::optional<std::int64_t> decimal(std::string_view text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<FileTime> pax_time(std::string_view text) {
  auto dot = text.find('.');
  auto seconds = decimal(text.substr(0, dot));
  if (!seconds) return std::nullopt;
  FileTime time{*seconds, 0};
  if (dot == std::string_view::npos) return time;
  std::string digits(text.substr(dot + 1));
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  digits.resize(9, '0');
  time.nanoseconds = static_cast<std::int32_t>(*decimal(digits));
  if (text.starts_with('-') && time.nanoseconds != 0) {
    --time.seconds;
    time.nanoseconds = 1'000'000'000 - time.nanoseconds;
  }
  return time;
}

// What pax records and GNU long names say about the member that follows.
struct Overrides {
  std::optional<std::string> path, link, uname, gname;
  std::optional<std::int64_t> size, uid, gid;
  std::optional<FileTime> mtime;
  std::map<std::string, std::string> xattrs;
};

Status apply_record(std::string_view key, std::string_view value, Overrides& over) {
  auto integer = [&](std::optional<std::int64_t>& out) {
    out = value.empty() ? std::nullopt : decimal(value);
    return value.empty() || out ? ok() : bad(fmt::format("pax record {}='{}' is not a number", key, value));
  };
  if (key == "path") over.path = value;
  if (key == "linkpath") over.link = value;
  if (key == "uname") over.uname = value;
  if (key == "gname") over.gname = value;
  if (key == "size") return integer(over.size);
  if (key == "uid") return integer(over.uid);
  if (key == "gid") return integer(over.gid);
  if (key == "mtime" && !value.empty()) {
    over.mtime = pax_time(value);
    if (!over.mtime) return bad(fmt::format("pax record mtime='{}' is not a time", value));
  }
  constexpr std::string_view kXattr = "SCHILY.xattr.";
  if (key.starts_with(kXattr)) over.xattrs[std::string(key.substr(kXattr.size()))] = value;
  if (key.starts_with("GNU.sparse.")) return bad("sparse members are not supported");
  return ok();
}

// "<length> <key>=<value>\n" … (POSIX pax, extended header).
Status parse_pax(std::string_view text, Overrides& over) {
  while (!text.empty() && text.front() != '\0') {
    auto blank = text.find(' ');
    auto length = blank == std::string_view::npos ? std::nullopt : decimal(text.substr(0, blank));
    if (!length || *length <= static_cast<std::int64_t>(blank) + 1 ||
        *length > static_cast<std::int64_t>(text.size())) {
      return bad("malformed pax header");
    }
    std::string_view record = text.substr(blank + 1, static_cast<std::size_t>(*length) - blank - 1);
    auto equals = record.find('=');
    if (record.back() != '\n' || equals == std::string_view::npos) return bad("malformed pax header");
    KILN_RETURN_IF_ERROR(
        apply_record(record.substr(0, equals), record.substr(equals + 1, record.size() - equals - 2), over));
    text.remove_prefix(static_cast<std::size_t>(*length));
  }
  return ok();
}

std::optional<EntryType> type_of(char flag, std::string_view name) {
  switch (flag) {
    case '\0':
    case '0':
    case '7': return name.ends_with('/') ? EntryType::kDirectory : EntryType::kFile;
    case '1': return EntryType::kHardLink;
    case '2': return EntryType::kSymlink;
    case '3': return EntryType::kCharDevice;
    case '4': return EntryType::kBlockDevice;
    case '5': return EntryType::kDirectory;
    case '6': return EntryType::kFifo;
    default: return std::nullopt;
  }
}

}  // namespace

struct TarReader::State {
  State(ByteSource& s, std::size_t bytes)
      : source(s), capacity(std::max(bytes, kBlock)), buffer(std::make_unique_for_overwrite<char[]>(capacity)) {}

  ByteSource& source;
  const std::size_t capacity;
  std::unique_ptr<char[]> buffer;
  std::size_t begin = 0, end = 0;
  std::uint64_t body_left = 0;
  std::uint64_t padding = 0;
  bool at_end = false;
  TarEntry entry;

  std::size_t available() const { return end - begin; }

  // Reads more behind what is there; false at the end of the source.
  Result<bool> fill() {
    if (begin == end) begin = end = 0;
    if (end == capacity) {
      std::memmove(buffer.get(), buffer.get() + begin, available());
      end -= begin;
      begin = 0;
    }
    KILN_ASSIGN_OR_RETURN(std::size_t n, source.read({buffer.get() + end, capacity - end}));
    end += n;
    return n > 0;
  }

  Result<bool> ensure(std::size_t count) {
    while (available() < count) {
      KILN_ASSIGN_OR_RETURN(bool more, fill());
      if (!more) return false;
    }
    return true;
  }

  Status skip(std::uint64_t count) {
    while (count > 0) {
      std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(count, available()));
      begin += n;
      count -= n;
      if (count == 0) break;
      KILN_ASSIGN_OR_RETURN(bool more, fill());
      if (!more) return bad(fmt::format("ends in the middle of '{}'", entry.name));
    }
    return ok();
  }

  // The body of a special member (pax header, long name), with its padding.
  Result<std::string> take_special(std::uint64_t size) {
    if (size > kSpecialBytesMax) return bad(fmt::format("a header record of {} bytes", size));
    std::string text;
    while (text.size() < size) {
      if (available() == 0) {
        KILN_ASSIGN_OR_RETURN(bool more, fill());
        if (!more) return bad("ends in the middle of a header");
      }
      std::size_t n = std::min<std::size_t>(size - text.size(), available());
      text.append(buffer.get() + begin, n);
      begin += n;
    }
    KILN_RETURN_IF_ERROR(skip((kBlock - size % kBlock) % kBlock));
    return text;
  }

  Status read_header(const char* block);
  Status apply(Overrides& over, char flag);
};

Status TarReader::State::read_header(const char* block) {
  entry = TarEntry{};
  bool ustar = std::memcmp(block + 257, "ustar", 5) == 0;
  bool gnu = std::memcmp(block + 257, "ustar  ", 8) == 0;
  entry.name = field(block, 0, 100);
  if (ustar && !gnu) {
    if (auto prefix = field(block, 345, 155); !prefix.empty()) entry.name = fmt::format("{}/{}", prefix, entry.name);
  }
  auto mode = number(block, 100, 8), uid = number(block, 108, 8), gid = number(block, 116, 8);
  auto size = number(block, 124, 12), mtime = number(block, 136, 12);
  if (!mode || !uid || !gid || !size || !mtime || *size < 0)
    return bad(fmt::format("malformed header of '{}'", entry.name));
  entry.mode = static_cast<std::uint32_t>(*mode) & 07777;
  entry.uid = static_cast<std::uint32_t>(*uid);
  entry.gid = static_cast<std::uint32_t>(*gid);
  entry.size = static_cast<std::uint64_t>(*size);
  entry.mtime = {*mtime, 0};
  entry.link = field(block, 157, 100);
  if (ustar) {
    entry.uname = field(block, 265, 32);
    entry.gname = field(block, 297, 32);
    entry.dev_major = static_cast<std::uint32_t>(number(block, 329, 8).value_or(0));
    entry.dev_minor = static_cast<std::uint32_t>(number(block, 337, 8).value_or(0));
  }
  return ok();
}

Status TarReader::State::apply(Overrides& over, char flag) {
  if (over.path) entry.name = *std::move(over.path);
  if (over.link) entry.link = *std::move(over.link);
  if (over.uname) entry.uname = *std::move(over.uname);
  if (over.gname) entry.gname = *std::move(over.gname);
  if (over.uid) entry.uid = static_cast<std::uint32_t>(*over.uid);
  if (over.gid) entry.gid = static_cast<std::uint32_t>(*over.gid);
  if (over.mtime) entry.mtime = *over.mtime;
  if (over.size) {
    if (*over.size < 0) return bad(fmt::format("negative size of '{}'", entry.name));
    entry.size = static_cast<std::uint64_t>(*over.size);
  }
  entry.xattrs = std::move(over.xattrs);
  if (flag == 'S') return bad(fmt::format("sparse member '{}' is not supported", entry.name));
  auto type = type_of(flag, entry.name);
  if (!type) return bad(fmt::format("member '{}' has the unknown type '{}'", entry.name, flag));
  entry.type = *type;
  if (entry.type == EntryType::kDirectory && !entry.name.ends_with('/')) entry.name += '/';
  if (entry.type != EntryType::kFile) entry.size = 0;
  body_left = entry.size;
  padding = (kBlock - entry.size % kBlock) % kBlock;
  return ok();
}

TarReader::TarReader(ByteSource& source, std::size_t buffer_bytes)
    : state_(std::make_unique<State>(source, buffer_bytes)) {}
TarReader::~TarReader() = default;

Result<const TarEntry*> TarReader::next() {
  State& s = *state_;
  if (s.at_end) return nullptr;
  KILN_RETURN_IF_ERROR(s.skip(s.body_left + s.padding));
  s.body_left = s.padding = 0;
  Overrides over;
  while (true) {
    KILN_ASSIGN_OR_RETURN(bool whole, s.ensure(kBlock));
    if (!whole) {
      if (s.available() != 0) return bad("ends in the middle of a header");
      s.at_end = true;
      return nullptr;
    }
    const char* block = s.buffer.get() + s.begin;
    if (all_zero(block)) {
      s.at_end = true;
      return nullptr;
    }
    if (!checksum_fits(block)) return bad(fmt::format("header after '{}' has a wrong checksum", s.entry.name));
    char flag = block[156];
    KILN_RETURN_IF_ERROR(s.read_header(block));
    s.begin += kBlock;
    switch (flag) {
      case 'x':
      case 'X': {
        KILN_ASSIGN_OR_RETURN(std::string text, s.take_special(s.entry.size));
        KILN_RETURN_IF_ERROR(parse_pax(text, over));
        break;
      }
      case 'L':
      case 'K': {
        KILN_ASSIGN_OR_RETURN(std::string text, s.take_special(s.entry.size));
        text.resize(std::strlen(text.c_str()));
        (flag == 'L' ? over.path : over.link) = std::move(text);
        break;
      }
      case 'g':  // global records (git's commit id) say nothing about members
      case 'V':  // GNU volume label
        KILN_RETURN_IF_ERROR(s.take_special(s.entry.size).status());
        break;
      default: KILN_RETURN_IF_ERROR(s.apply(over, flag)); return &s.entry;
    }
  }
}

Result<std::string_view> TarReader::read_piece() {
  State& s = *state_;
  if (s.body_left == 0) return std::string_view();
  if (s.available() == 0) {
    KILN_ASSIGN_OR_RETURN(bool more, s.fill());
    if (!more) return bad(fmt::format("ends in the middle of '{}'", s.entry.name));
  }
  std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(s.body_left, s.available()));
  std::string_view piece(s.buffer.get() + s.begin, n);
  s.begin += n;
  s.body_left -= n;
  return piece;
}

Result<std::size_t> TarReader::read(std::span<char> buffer) {
  State& s = *state_;
  if (s.body_left == 0 || buffer.empty()) return std::size_t{0};
  if (s.available() == 0) {
    KILN_ASSIGN_OR_RETURN(bool more, s.fill());
    if (!more) return bad(fmt::format("ends in the middle of '{}'", s.entry.name));
  }
  std::size_t n = std::min({buffer.size(), s.available(), static_cast<std::size_t>(s.body_left)});
  std::memcpy(buffer.data(), s.buffer.get() + s.begin, n);
  s.begin += n;
  s.body_left -= n;
  return n;
}

Status TarReader::drain() {
  State& s = *state_;
  while (true) {
    s.begin = s.end = 0;
    KILN_ASSIGN_OR_RETURN(bool more, s.fill());
    if (!more) return ok();
  }
}

}  // namespace kiln::layer
