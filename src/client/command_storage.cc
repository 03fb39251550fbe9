// du and prune: what the daemon holds.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "client/go_template.h"
#include "client/internal/commands.h"
#include "client/internal/messages.h"
#include "client/table_text.h"
#include "wire/control.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;
using Json = nlohmann::ordered_json;

Json usage_json(const control::UsageRecord& r) {
  Json out = Json::object();
  out["id"] = r.id();
  out["mutable"] = r.mutable_();
  out["inUse"] = r.inuse();
  out["size"] = r.size();
  out["createdAt"] = rfc3339(r.createdat());
  out["lastUsedAt"] = r.has_lastusedat() ? Json(rfc3339(r.lastusedat())) : Json();
  out["usageCount"] = r.usagecount();
  out["parents"] =
      r.parents().empty() ? Json() : Json(std::vector<std::string>(r.parents().begin(), r.parents().end()));
  out["description"] = r.description();
  out["recordType"] = r.recordtype();
  out["shared"] = r.shared();
  return out;
}

std::string verbose_rows(const control::UsageRecord& r) {
  std::string out = fmt::format("ID:\t{}\n", r.id());
  if (!r.parents().empty()) out += fmt::format("Parents:\t{}\n", join(r.parents(), ";"));
  out += fmt::format("Created at:\t{}\nMutable:\t{}\nReclaimable:\t{}\nShared:\t{}\nSize:\t{}\n",
                     go_time(r.createdat()), r.mutable_(), !r.inuse(), r.shared(), human_bytes(r.size()));
  if (!r.description().empty()) out += fmt::format("Description:\t{}\n", r.description());
  out += fmt::format("Usage count:\t{}\n", r.usagecount());
  if (r.has_lastusedat()) out += fmt::format("Last used:\t{}\n", go_time(r.lastusedat()));
  if (!r.recordtype().empty()) out += fmt::format("Type:\t{}\n", r.recordtype());
  return out + "\n";
}

constexpr std::string_view kHeader = "ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n";

std::string ago(const control::UsageRecord& r) {
  if (!r.has_lastusedat()) return "";
  std::int64_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(system_clock().now().time_since_epoch()).count() -
      r.lastusedat().seconds();
  if (seconds < 60) return fmt::format("{}s ago", std::max<std::int64_t>(seconds, 0));
  if (seconds < 3600) return fmt::format("{}m ago", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{}h ago", seconds / 3600);
  return fmt::format("{}d ago", seconds / 86400);
}

std::string table_row(const control::UsageRecord& r) {
  return fmt::format("{:<71}\t{:<11}\t{}\t{}\n", r.id() + (r.mutable_() ? "*" : ""), !r.inuse(),
                     human_bytes(r.size()) + (r.shared() ? "*" : ""), ago(r));
}

std::string summary(const std::vector<control::UsageRecord>& records) {
  std::int64_t total = 0, reclaimable = 0, shared = 0;
  for (const control::UsageRecord& r : records) {
    if (r.size() > 0) {
      total += r.size();
      if (!r.inuse()) reclaimable += r.size();
    }
    if (r.shared()) shared += r.size();
  }
  std::string out;
  if (shared > 0) out += fmt::format("Shared:\t{}\nPrivate:\t{}\n", human_bytes(shared), human_bytes(total - shared));
  return out + fmt::format("Reclaimable:\t{}\nTotal:\t{}\n", human_bytes(reclaimable), human_bytes(total));
}

}  // namespace

Status run_disk_usage(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  control::DiskUsageRequest request;
  for (const std::string& filter : call.line.list("filter")) request.add_filter(filter);
  control::DiskUsageResponse response;
  Status status = connection->call(kControl + "DiskUsage", {}, request, response, call.stop);
  if (!status.ok()) return annotate(status, "failed to call diskusage");
  std::vector<control::UsageRecord> records(response.record().begin(), response.record().end());
  std::sort(records.begin(), records.end(),
            [](const auto& a, const auto& b) { return std::pair(a.size(), a.id()) < std::pair(b.size(), b.id()); });
  if (std::string format = call.line.text("format"); !format.empty()) {
    Json list = Json::array();
    for (const auto& record : records) list.push_back(usage_json(record));
    return print_formatted(format, list.dump());
  }
  bool verbose = call.line.on("verbose");
  std::string out(verbose ? "" : kHeader);
  for (const auto& record : records) out += verbose ? verbose_rows(record) : table_row(record);
  out = align_columns(out, Fill::kTabs);
  if (request.filter().empty()) out += align_columns(summary(records), Fill::kTabs);
  return print(out);
}

Status run_prune(const Invocation& call) {
  const CommandLine& line = call.line;
  std::optional<GoTemplate> format;
  if (std::string text = line.text("format"); !text.empty()) {
    KILN_ASSIGN_OR_RETURN(format, GoTemplate::parse(text));
  }
  KILN_ASSIGN_OR_RETURN(auto connection, connect(call));
  control::PruneRequest request;
  auto bytes = [&](const char* option) { return static_cast<std::int64_t>(line.number(option) * 1e6); };
  for (const std::string& filter : line.list("filter")) request.add_filter(filter);
  request.set_all(line.on("all"));
  request.set_keepduration(line.duration("keep-duration").count());
  request.set_reservedspace(bytes("keep-storage-min"));
  request.set_maxusedspace(bytes("keep-storage"));
  request.set_minfreespace(bytes("free-storage"));
  control::UsageRecord record;
  std::int64_t total = 0;
  bool first = true;
  auto each = [&]() -> Status {
    total += record.size();
    if (format) {
      KILN_ASSIGN_OR_RETURN(std::string text, format->render(usage_json(record).dump()));
      return print(text + "\n");
    }
    if (line.on("verbose")) return print(align_columns(verbose_rows(record), Fill::kTabs));
    std::string rows = (std::exchange(first, false) ? std::string(kHeader) : "") + table_row(record);
    return print(align_columns(rows, Fill::kTabs));
  };
  Status status = connection->call_each(kControl + "Prune", request, record, each, call.stop);
  if (!status.ok()) return annotate(status, "failed to call prune");
  return format ? ok() : print(align_columns(fmt::format("Total:\t{}\n", human_bytes(total)), Fill::kTabs));
}

}  // namespace kiln::client
