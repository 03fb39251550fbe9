// The packets of the sync protocol, written and read by hand: a context has hundreds of thousands of
// them, and file contents pass without being copied into a message object.
//
// Format: fsutil.types.Packet {type=1, stat=2, ID=3, data=4}, one a gRPC message.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "host/fd.h"
#include "http2/byte_queue.h"
#include "session/file_stat.h"

namespace kiln::session::internal {

enum class PacketType { kStat = 0, kRequest = 1, kData = 2, kFin = 3, kError = 4 };

std::string stat_packet(const FileStat& stat);
// The end of the stats.
std::string stat_end_packet();
std::string request_packet(std::uint32_t id);
std::string data_packet_text(std::uint32_t id, std::string_view bytes);
// What stands before so many bytes of contents.
std::string data_packet_head(std::uint32_t id, std::size_t size);
// Ends a file.
std::string data_end_packet(std::uint32_t id);
std::string fin_packet();
std::string error_packet(std::string_view message);

// The Stat message alone, as it stands in a packet and in ".fsutil-metadata".
std::string encode_stat(const FileStat& stat);
std::string encode_stat_without_path(const FileStat& stat);

// A received packet. `data` and `stat_bytes` point into it. Reused for the next one; one thread.
class Packet {
 public:
  // InvalidArgument (fault: peer) for bytes that are no packet. The views point into the pieces, which
  // the caller keeps.
  Status parse(const std::vector<std::string_view>& pieces);
  Status parse(std::string_view bytes);

  PacketType type = PacketType::kStat;
  std::uint32_t id = 0;
  bool has_stat = false;
  std::string_view stat_bytes;
  std::vector<std::string_view> data;  // pieces in order
  std::size_t data_size = 0;
  host::Fd file;  // instead of data, and all of it: came along open
  std::string data_text() const;

 private:
  Status parse_spread(std::string_view head, std::span<const std::string_view> behind);
  std::string flat_;
};

// InvalidArgument (fault: peer) for bytes that are no Stat.
Status parse_stat(std::string_view bytes, FileStat& out);

// BytesMessage {data=1} of several services: what stands before so many bytes, and the bytes of a message.
std::string bytes_message_head(std::size_t size);
Status bytes_of_message(std::vector<std::string_view>& pieces);
Status bytes_of_message(std::vector<http2::Bytes>& pieces);

}  // namespace kiln::session::internal
