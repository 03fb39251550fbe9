// Packets of the file sync protocol, whole and in pieces, and the stats in them.
#include "base/check.h"
#include "session/internal/packet.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace session = kiln::session;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  session::FileStat stat;
  (void)session::internal::parse_stat(bytes, stat);
  session::internal::Packet packet;
  if (!packet.parse(bytes).ok()) return 0;
  if (packet.has_stat) (void)session::internal::parse_stat(packet.stat_bytes, stat);
  const std::string whole = packet.data_text();
  KILN_CHECK(whole.size() == packet.data_size);
  // The same bytes in two pieces say the same.
  for (std::size_t cut : {size / 3, size / 2, size - size / 4}) {
    session::internal::Packet other;
    if (!other.parse({bytes.substr(0, cut), bytes.substr(cut)}).ok()) continue;
    KILN_CHECK(other.type == packet.type && other.id == packet.id && other.data_text() == whole);
  }
  return 0;
}
