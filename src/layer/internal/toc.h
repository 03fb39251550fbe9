// The table of contents of an estargz layer.
//
// Format: containerd/stargz-snapshotter docs/estargz.md, "TOC"; field order and indentation as Go
// prints the JTOC struct.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layer/tar_entry.h"

namespace kiln::layer::internal {

inline constexpr char kTocName[] = "stargz.index.json";

struct TocEntry {
  std::string name;
  std::string type;
  std::uint64_t size = 0;
  std::string modtime;
  std::string link;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0, gid = 0;
  std::string uname, gname;
  std::uint64_t offset = 0;
  std::uint32_t dev_major = 0, dev_minor = 0;
  std::map<std::string, std::string> xattrs;
  std::string digest;
  std::uint64_t chunk_offset = 0, chunk_size = 0;
  std::string chunk_digest;
};

struct Toc {
  std::vector<TocEntry> entries;
};

TocEntry toc_entry(const TarEntry& entry);
std::string toc_json(const Toc& toc);
// The table's own name, however it is written ("./stargz.index.json").
bool is_toc_name(std::string_view name);

}  // namespace kiln::layer::internal
