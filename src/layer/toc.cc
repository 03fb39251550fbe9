#include "layer/internal/toc.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "base/timestamp.h"

namespace kiln::layer::internal {
namespace {

std::string_view type_name(EntryType type) {
  switch (type) {
    case EntryType::kFile: return "reg";
    case EntryType::kHardLink: return "hardlink";
    case EntryType::kSymlink: return "symlink";
    case EntryType::kCharDevice: return "char";
    case EntryType::kBlockDevice: return "block";
    case EntryType::kDirectory: return "dir";
    case EntryType::kFifo: return "fifo";
  }
  return "reg";
}

std::string modtime(const FileTime& time) {
  if (time.seconds == 0) return {};
  return format_rfc3339(timestamp(time.seconds) + std::chrono::seconds(time.nanoseconds >= 500'000'000 ? 1 : 0));
}

// Fields of one object, left out when empty.
class Fields {
 public:
  explicit Fields(std::string& out) : out_(out) {}
  void text(const char* name, std::string_view value) {
    if (!value.empty()) key(name) += json_string(value);
  }
  void number(const char* name, std::uint64_t value) {
    if (value != 0) key(name) += std::to_string(value);
  }
  std::string& key(const char* name) {
    out_ += first_ ? "\n" : ",\n";
    first_ = false;
    return out_ += fmt::format("\t\t\t\"{}\": ", name);
  }

 private:
  std::string& out_;
  bool first_ = true;
};

void append_entry(std::string& out, const TocEntry& e) {
  out += "\t\t{";
  Fields fields(out);
  fields.key("name") += json_string(e.name);
  fields.key("type") += json_string(e.type);
  fields.number("size", e.size);
  fields.text("modtime", e.modtime);
  fields.text("linkName", e.link);
  fields.number("mode", e.mode);
  fields.number("uid", e.uid);
  fields.number("gid", e.gid);
  fields.text("userName", e.uname);
  fields.text("groupName", e.gname);
  fields.number("offset", e.offset);
  fields.number("devMajor", e.dev_major);
  fields.number("devMinor", e.dev_minor);
  if (!e.xattrs.empty()) {
    fields.key("xattrs") += "{";
    bool first = true;
    for (const auto& [name, value] : e.xattrs) {
      out += fmt::format("{}\n\t\t\t\t{}: \"{}\"", first ? "" : ",", json_string(name), base64_encode(value));
      first = false;
    }
    out += "\n\t\t\t}";
  }
  fields.text("digest", e.digest);
  fields.number("chunkOffset", e.chunk_offset);
  fields.number("chunkSize", e.chunk_size);
  fields.text("chunkDigest", e.chunk_digest);
  out += "\n\t\t}";
}

}  // namespace

TocEntry toc_entry(const TarEntry& entry) {
  TocEntry e;
  e.name = entry.name;
  e.type = type_name(entry.type);
  if (entry.type == EntryType::kFile) e.size = entry.size;
  e.modtime = modtime(entry.mtime);
  e.link = entry.link;
  e.mode = entry.mode;
  e.uid = entry.uid;
  e.gid = entry.gid;
  e.uname = entry.uname;
  e.gname = entry.gname;
  e.dev_major = entry.dev_major;
  e.dev_minor = entry.dev_minor;
  e.xattrs = entry.xattrs;
  return e;
}

std::string toc_json(const Toc& toc) {
  std::string out = "{\n\t\"version\": 1,\n\t\"entries\": ";
  if (toc.entries.empty()) return out + "null\n}";
  out += "[\n";
  for (std::size_t i = 0; i < toc.entries.size(); ++i) {
    if (i > 0) out += ",\n";
    append_entry(out, toc.entries[i]);
  }
  return out + "\n\t]\n}";
}

bool is_toc_name(std::string_view name) {
  while (name.starts_with("./") || name.starts_with('/')) name.remove_prefix(name.front() == '/' ? 1 : 2);
  return name == kTocName;
}

}  // namespace kiln::layer::internal
