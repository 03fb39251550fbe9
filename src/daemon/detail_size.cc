#include "daemon/detail_size.h"

#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <vector>

#include "base/text.h"
#include "base/utf8_text.h"
#include "daemon/status_wire.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {
namespace {

// In base64, and a source file as base64 within JSON within that.
constexpr std::size_t kDetailsBytesMax = 24 * 1024;
constexpr std::size_t kMessageBytesMax = 16 * 1024;
constexpr int kLinesAround = 10;
constexpr std::size_t kLineBytesMax = 1024;

std::map<std::string, std::string> details_of(const Status& status) {
  std::map<std::string, std::string> out;
  status.ForEachPayload([&](absl::string_view name, const absl::Cord& bytes) {
    out.emplace(std::string(name.data(), name.size()), std::string(bytes));
  });
  return out;
}

std::size_t total_size(const std::map<std::string, std::string>& details) {
  std::size_t total = 0;
  for (const auto& [name, bytes] : details) total += name.size() + bytes.size();
  return total;
}

bool is_source(std::string_view name) { return split_once(name, '#').first == kDetailSource; }

bool is_near(const errdefs::Source& source, int line) {
  for (const pb::Range& range : source.ranges()) {
    if (line >= range.start().line() - kLinesAround && line <= range.end().line() + kLinesAround) return true;
  }
  return false;
}

// Clients count lines from the start of the file, so the others stay as empty ones.
std::string shorten_source(const std::string& bytes) {
  errdefs::Source source;
  if (!source.ParseFromString(bytes)) return bytes;
  std::string kept;
  std::size_t end = 0;
  int number = 1;
  for (std::string_view line : split(source.info().data(), '\n')) {
    if (is_near(source, number++)) {
      kept += line.substr(0, kLineBytesMax);
      end = kept.size() + 1;
    }
    kept += '\n';
  }
  kept.resize(std::min(end, kept.size()));
  source.mutable_info()->set_data(kept);
  source.mutable_info()->clear_definition();
  return source.SerializeAsString();
}

}  // namespace

Status fit_on_the_wire(const Status& status) {
  std::map<std::string, std::string> details = details_of(status);
  const std::string_view message = message_of(status);
  if (message.size() <= kMessageBytesMax && total_size(details) <= kDetailsBytesMax) return status;
  for (auto& [name, bytes] : details) {
    if (is_source(name)) bytes = shorten_source(bytes);
  }
  while (total_size(details) > kDetailsBytesMax) {
    details.erase(std::ranges::max_element(details, {}, [](const auto& detail) { return detail.second.size(); }));
  }
  Status out(status.code(),
             std::string(message.substr(0, kMessageBytesMax)) + (message.size() > kMessageBytesMax ? "…" : ""));
  for (const auto& [name, bytes] : details) set_detail(out, name, bytes);
  return out;
}

}  // namespace kiln::daemon
