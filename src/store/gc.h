// How much we hold and what may go. Plain data for `du` and `prune`, the policies of the configuration
// and their defaults.
//
//   auto policy = default_gc_policy({}, host::disk_space(root));
//   trees.prune(policy, stop);
//
// Meaning of the fields and their arithmetic: BuildKit's docs/buildkitd.toml.md, [[worker.oci.gcpolicy]].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "host/fs.h"
#include "store/tree.h"

namespace kiln::store {

// One record as `du` shows it.
struct Usage {
  std::string id;
  bool is_mutable = false;
  bool in_use = false;
  std::int64_t size = 0;  // bytes
  std::vector<std::string> parents;
  Time created{};
  std::optional<Time> last_used;
  int usage_count = 0;
  std::string description;
  RecordType type = RecordType::kRegular;
  bool shared = false;
};

// One rule. Zero means unset.
struct PruneOptions {
  std::vector<std::string> filters;  // any of them; see filter.h
  bool all = false;                  // internal, frontend and shared records too
  Duration keep_duration{};          // leave what was used within it
  std::int64_t reserved_space = 0;   // never go below
  std::int64_t max_used_space = 0;   // go below
  std::int64_t min_free_space = 0;   // of the disk
};

struct PruneReport {
  std::int64_t bytes = 0;
  std::int64_t records = 0;
};

// A size of a configuration: bytes or percent of the disk.
struct SpaceLimit {
  std::int64_t bytes = 0;
  std::int64_t percent = 0;
  bool empty() const { return bytes == 0 && percent == 0; }
  // In bytes; percents are rounded up to whole gigabytes. 2 GB when the disk's size is unknown.
  std::int64_t of(const host::DiskSpace& disk) const;
};
// "512MB", "10GB", "1.5GiB", "20%", "1000"; units of 1024 as Docker's. InvalidArgument otherwise.
Result<SpaceLimit> parse_space_limit(std::string_view text);

struct GcLimits {
  SpaceLimit reserved;
  SpaceLimit max_used;
  SpaceLimit min_free;
};
// Limits that are all unset are taken from the disk: reserve 10 % at most 10 GB, keep 20 % free, use
// 80 % at most 100 GB.
std::vector<PruneOptions> default_gc_policy(GcLimits limits, const host::DiskSpace& disk);

// How many bytes a rule lets stay of `total`; 0 means no cap.
std::int64_t bytes_to_keep(const PruneOptions& rule, std::int64_t total, const host::DiskSpace& disk);

}  // namespace kiln::store
