// The configuration of an image: what a container of it runs, on which platform, made of which
// layers. The frontend builds one, the exporter patches it, sources read it.
//
//   KILN_ASSIGN_OR_RETURN(ImageConfig image, parse_image_config(bytes));
//   image.config.env.push_back("A=b");
//   std::string text = to_json(image);
//
// Formats: OCI image-spec v1.1 config.md plus Docker's extras (Healthcheck, OnBuild, Shell,
// ArgsEscaped). Written in the order Go prints the Docker image struct: the OCI fields without
// "config", then "config". Fields we do not know are kept by ConfigDocument only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/platform.h"
#include "base/status.h"
#include "content/descriptor.h"

namespace kiln::content {

struct Healthcheck {
  std::vector<std::string> test;  // {"NONE"}, {"CMD", …} or {"CMD-SHELL", line}; empty inherits
  std::int64_t interval_ns = 0;
  std::int64_t timeout_ns = 0;
  std::int64_t start_period_ns = 0;
  std::int64_t start_interval_ns = 0;
  int retries = 0;
  bool operator==(const Healthcheck&) const = default;
};

// What a container runs with. An absent Cmd and an empty one print alike (left out), as in Go.
struct ContainerConfig {
  std::string user;
  std::set<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::string> env;         // "NAME=value"
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::set<std::string> volumes;
  std::string working_dir;
  StringMap labels;
  std::string stop_signal;
  bool args_escaped = false;
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> on_build;
  std::vector<std::string> shell;
  bool operator==(const ContainerConfig&) const = default;
};

struct HistoryEntry {
  std::optional<Time> created;
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;
  bool operator==(const HistoryEntry&) const = default;
};

struct ImageConfig {
  std::optional<Time> created;
  std::string author;
  Platform platform;
  ContainerConfig config;
  std::string rootfs_type = "layers";
  std::vector<Digest> diff_ids;
  std::vector<HistoryEntry> history;
};

// FailedPrecondition (fault: peer) when the text is no image config.
Result<ImageConfig> parse_image_config(std::string_view json);
std::string to_json(const ImageConfig& image);
// Only a "history" array, as it stands in a config.
std::string to_json(const std::vector<HistoryEntry>& history);
// Only a "rootfs" object.
std::string rootfs_json(const std::vector<Digest>& diff_ids);

// A config as a bag of top-level keys with their raw JSON: what the exporter edits without losing
// what it does not understand. Printed with sorted keys, compact, nested values as they came.
//
//   KILN_ASSIGN_OR_RETURN(auto doc, ConfigDocument::parse(bytes));
//   doc.set("rootfs", rootfs_json(ids)); std::string out = doc.to_json();
class ConfigDocument {
 public:
  // FailedPrecondition (fault: user) when the text is not a JSON object.
  static Result<ConfigDocument> parse(std::string_view json);
  const std::string* find(const std::string& key) const;  // raw JSON; null when absent
  void set(const std::string& key, std::string raw_json) { values_[key] = std::move(raw_json); }
  std::string to_json() const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace kiln::content
