#include "layer/tar_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>

namespace kiln::layer {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kNameSize = 100;
constexpr std::size_t kPrefixSize = 155;
constexpr std::size_t kGatherBytes = 256 * 1024;

using Block = std::array<char, kBlock>;

// Where the fields of a ustar header stand: offset and length (POSIX pax, ustar interchange format).
struct Field {
  std::size_t at, size;
};
constexpr Field kName{0, kNameSize}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kMtime{136, 12},
    kChecksum{148, 8}, kType{156, 1}, kLink{157, kNameSize}, kMagic{257, 8}, kUname{265, 32}, kGname{297, 32},
    kDevMajor{329, 8}, kDevMinor{337, 8}, kPrefix{345, kPrefixSize};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) > 0; });
}

std::string ascii_only(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (static_cast<signed char>(c) > 0) out += c;
  }
  return out;
}

bool fits_octal(const Field& field, std::int64_t value) {
  return value >= 0 && value < (std::int64_t{1} << ((field.size - 1) * 3));
}

void put_string(Block& block, const Field& field, std::string_view text) {
  std::size_t n = std::min(text.size(), field.size);
  std::memcpy(block.data() + field.at, text.data(), n);
  // A cut-off name must not end in a slash: old readers would take the file for a directory.
  if (text.size() > field.size && block[field.at + field.size - 1] == '/') {
    std::string_view kept = text.substr(0, field.size - 1);
    while (!kept.empty() && kept.back() == '/') kept.remove_suffix(1);
    block[field.at + kept.size()] = '\0';
  }
}

void put_octal(Block& block, const Field& field, std::int64_t value) {
  if (!fits_octal(field, value)) value = 0;
  char digits[24];
  std::size_t width = field.size - 1;
  for (std::size_t i = 0; i < width; ++i) digits[width - 1 - i] = static_cast<char>('0' + ((value >> (3 * i)) & 7));
  std::memcpy(block.data() + field.at, digits, width);
}

void seal(Block& block) {
  std::memcpy(block.data() + kMagic.at,
              "ustar\0"
              "00",
              kMagic.size);
  std::memset(block.data() + kChecksum.at, ' ', kChecksum.size);
  std::int64_t sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  put_octal(block, {kChecksum.at, 7}, sum);
  block[kChecksum.at + 6] = '\0';
}

char type_flag(EntryType type) {
  switch (type) {
    case EntryType::kFile: return '0';
    case EntryType::kHardLink: return '1';
    case EntryType::kSymlink: return '2';
    case EntryType::kCharDevice: return '3';
    case EntryType::kBlockDevice: return '4';
    case EntryType::kDirectory: return '5';
    case EntryType::kFifo: return '6';
  }
  return '0';
}

struct SplitName {
  std::string_view prefix, name;
};

// A long name may stand in two fields, parted at a slash.
std::optional<SplitName> split_ustar(std::string_view name) {
  std::size_t length = name.size();
  if (length <= kNameSize || !is_ascii(name)) return std::nullopt;
  if (length > kPrefixSize + 1) {
    length = kPrefixSize + 1;
  } else if (name[length - 1] == '/') {
    --length;
  }
  auto slash = name.substr(0, length).rfind('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  std::size_t rest = name.size() - slash - 1;
  if (rest > kNameSize || rest == 0 || slash > kPrefixSize) return std::nullopt;
  return SplitName{name.substr(0, slash), name.substr(slash + 1)};
}

std::string pax_time(const FileTime& time) {
  if (time.nanoseconds == 0) return std::to_string(time.seconds);
  std::int64_t seconds = time.seconds;
  std::int32_t nanoseconds = time.nanoseconds;
  const char* sign = "";
  if (seconds < 0) {
    sign = "-";
    seconds = -(seconds + 1);
    nanoseconds = 1'000'000'000 - nanoseconds;
  }
  std::string text = fmt::format("{}{}.{:09}", sign, seconds, nanoseconds);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::string pax_record(std::string_view key, std::string_view value) {
  std::size_t size = key.size() + value.size() + 3;
  size += std::to_string(size).size();
  std::string record = fmt::format("{} {}={}\n", size, key, value);
  if (record.size() != size) record = fmt::format("{} {}={}\n", record.size(), key, value);
  return record;
}

struct Plan {
  std::map<std::string, std::string> pax;
  bool ustar = true;  // everything fits the plain header
};

void plan_string(Plan& plan, std::string_view value, std::size_t size, const char* key) {
  if (value.size() <= size && is_ascii(value)) return;
  bool splits = std::string_view(key) == "path" && split_ustar(value);
  if (!splits) plan.ustar = false;
  plan.pax[key] = value;
}

void plan_number(Plan& plan, std::int64_t value, const Field& field, const char* key) {
  if (fits_octal(field, value)) return;
  plan.ustar = false;
  plan.pax[key] = std::to_string(value);
}

Plan plan_of(const TarEntry& entry) {
  Plan plan;
  plan_string(plan, entry.name, kName.size, "path");
  plan_string(plan, entry.link, kLink.size, "linkpath");
  plan_string(plan, entry.uname, kUname.size, "uname");
  plan_string(plan, entry.gname, kGname.size, "gname");
  plan_number(plan, entry.uid, kUid, "uid");
  plan_number(plan, entry.gid, kGid, "gid");
  plan_number(plan, static_cast<std::int64_t>(entry.size), kSize, "size");
  if (!fits_octal(kMtime, entry.mtime.seconds) || entry.mtime.nanoseconds != 0) {
    plan.ustar = false;
    plan.pax["mtime"] = pax_time(entry.mtime);
  }
  for (const auto& [name, value] : entry.xattrs) {
    plan.ustar = false;
    plan.pax["SCHILY.xattr." + name] = value;
  }
  return plan;
}

Block header_of(const TarEntry& entry, bool ustar) {
  Block block{};
  std::string_view name = entry.name;
  if (ustar) {
    if (auto split = split_ustar(name)) {
      put_string(block, kPrefix, split->prefix);
      name = split->name;
    }
  }
  block[kType.at] = type_flag(entry.type);
  auto text = [&](const Field& field, std::string_view value) {
    put_string(block, field, ustar ? std::string(value) : ascii_only(value));
  };
  text(kName, name);
  text(kLink, entry.link);
  put_octal(block, kMode, entry.mode);
  put_octal(block, kUid, entry.uid);
  put_octal(block, kGid, entry.gid);
  put_octal(block, kSize, static_cast<std::int64_t>(entry.size));
  put_octal(block, kMtime, entry.mtime.seconds);
  text(kUname, entry.uname);
  text(kGname, entry.gname);
  put_octal(block, kDevMajor, entry.dev_major);
  put_octal(block, kDevMinor, entry.dev_minor);
  seal(block);
  return block;
}

std::string pax_name(std::string_view name) {
  auto slash = name.rfind('/');
  std::string folder(slash == std::string_view::npos ? "" : name.substr(0, slash + 1));
  std::string_view file = slash == std::string_view::npos ? name : name.substr(slash + 1);
  std::string out = ascii_only(folder + "PaxHeaders.0" + (file.empty() ? "" : "/") + std::string(file));
  if (out.size() > kNameSize) out.resize(kNameSize);
  while (!out.empty() && out.back() == '/') out.pop_back();
  return out;
}

Block pax_header(std::string_view name, std::size_t size) {
  Block block{};
  block[kType.at] = 'x';
  put_string(block, kName, pax_name(name));
  for (const Field& field : {kMode, kUid, kGid, kMtime}) put_octal(block, field, 0);
  put_octal(block, kSize, static_cast<std::int64_t>(size));
  seal(block);
  return block;
}

std::size_t padding_of(std::uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

constexpr char kZeros[2 * kBlock] = {};

Status misuse(std::string_view what) { return make_error(Fault::kEngine, Code::kFailedPrecondition, what); }

}  // namespace

TarWriter::TarWriter(ByteSink& sink) : sink_(sink) { buffer_.reserve(kGatherBytes); }

Status TarWriter::flush() {
  if (buffer_.empty()) return ok();
  KILN_RETURN_IF_ERROR(sink_.write(buffer_));
  buffer_.clear();
  return ok();
}

Status TarWriter::put(std::string_view bytes) {
  total_ += bytes.size();
  if (buffer_.size() + bytes.size() > kGatherBytes) KILN_RETURN_IF_ERROR(flush());
  if (bytes.size() >= kGatherBytes / 2) return sink_.write(bytes);
  buffer_.append(bytes);
  return ok();
}

Status TarWriter::begin(const TarEntry& entry) {
  if (body_left_ != 0) return misuse(fmt::format("tar: the member before '{}' lacks {} bytes", entry.name, body_left_));
  KILN_RETURN_IF_ERROR(put({kZeros, padding_}));
  padding_ = 0;
  bool has_body = entry.type == EntryType::kFile;
  Plan plan = plan_of(entry);
  if (!plan.ustar && !plan.pax.empty()) {
    std::string records;
    for (const auto& [key, value] : plan.pax) records += pax_record(key, value);
    Block block = pax_header(entry.name, records.size());
    KILN_RETURN_IF_ERROR(put({block.data(), block.size()}));
    KILN_RETURN_IF_ERROR(put(records));
    KILN_RETURN_IF_ERROR(put({kZeros, padding_of(records.size())}));
  }
  Block block = header_of(entry, plan.ustar);
  KILN_RETURN_IF_ERROR(put({block.data(), block.size()}));
  body_left_ = has_body ? entry.size : 0;
  padding_ = has_body ? padding_of(entry.size) : 0;
  return ok();
}

Status TarWriter::write(std::string_view bytes) {
  if (bytes.size() > body_left_) return misuse("tar: more bytes than the member's size");
  body_left_ -= bytes.size();
  return put(bytes);
}

bool TarWriter::takes_files() const {
  const auto* sink = dynamic_cast<const host::FileSink*>(&sink_);
  return sink != nullptr && sink->takes_files();
}

Status TarWriter::write_file(const host::FileBytes& bytes) {
  if (bytes.size > body_left_) return misuse("tar: more bytes than the member's size");
  auto* sink = dynamic_cast<host::FileSink*>(&sink_);
  if (sink == nullptr) return misuse("tar: the sink takes no files");
  KILN_RETURN_IF_ERROR(flush());
  body_left_ -= bytes.size;
  total_ += bytes.size;
  return sink->write_file(bytes);
}

Status TarWriter::finish() {
  if (body_left_ != 0) return misuse(fmt::format("tar: the last member lacks {} bytes", body_left_));
  KILN_RETURN_IF_ERROR(put({kZeros, padding_}));
  padding_ = 0;
  KILN_RETURN_IF_ERROR(put({kZeros, sizeof kZeros}));
  return flush();
}

}  // namespace kiln::layer
