#include "session/internal/packet.h"

#include <algorithm>

#include "session/internal/proto_text.h"

namespace kiln::session::internal {
namespace {

Status not_a_packet() { return peer_error(Code::kInvalidArgument, "the client sent a malformed file packet"); }

void put_stat(std::string& out, const FileStat& stat) {
  put_uint(out, 2, stat.mode);
  put_uint(out, 3, stat.uid);
  put_uint(out, 4, stat.gid);
  put_uint(out, 5, static_cast<std::uint64_t>(stat.size));
  put_uint(out, 6, static_cast<std::uint64_t>(stat.modified_ns));
  if (!stat.link.empty()) put_bytes(out, 7, stat.link);
  put_uint(out, 8, static_cast<std::uint64_t>(stat.device_major));
  put_uint(out, 9, static_cast<std::uint64_t>(stat.device_minor));
  for (const auto& [name, value] : stat.xattrs) {
    std::string entry;
    put_bytes(entry, 1, name);
    put_bytes(entry, 2, value);
    put_bytes(out, 10, entry);
  }
}

Status parse_xattr(std::string_view bytes, FileStat& out) {
  std::string_view name, value;
  ProtoReader reader(bytes);
  while (!reader.done()) {
    int field, type;
    if (!reader.tag(field, type)) return not_a_packet();
    bool good = field == 1 && type == 2   ? reader.bytes(name)
                : field == 2 && type == 2 ? reader.bytes(value)
                                          : reader.skip(type);
    if (!good) return not_a_packet();
  }
  out.xattrs.insert_or_assign(std::string(name), std::string(value));
  return ok();
}

}  // namespace

std::string encode_stat(const FileStat& stat) {
  std::string out;
  if (!stat.path.empty()) put_bytes(out, 1, stat.path);
  put_stat(out, stat);
  return out;
}

std::string encode_stat_without_path(const FileStat& stat) {
  std::string out;
  put_stat(out, stat);
  return out;
}

std::string stat_packet(const FileStat& stat) {
  std::string out;
  put_bytes(out, 2, encode_stat(stat));
  return out;
}

std::string stat_end_packet() { return {}; }

std::string request_packet(std::uint32_t id) {
  std::string out;
  put_uint(out, 1, static_cast<int>(PacketType::kRequest));
  put_uint(out, 3, id);
  return out;
}

std::string data_packet_text(std::uint32_t id, std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + 16);
  put_uint(out, 1, static_cast<int>(PacketType::kData));
  put_uint(out, 3, id);
  put_bytes(out, 4, bytes);
  return out;
}

std::string data_packet_head(std::uint32_t id, std::size_t size) {
  std::string head;
  put_uint(head, 1, static_cast<int>(PacketType::kData));
  put_uint(head, 3, id);
  put_varint(head, 4 << 3 | 2);
  put_varint(head, size);
  return head;
}

std::string data_end_packet(std::uint32_t id) {
  std::string out;
  put_uint(out, 1, static_cast<int>(PacketType::kData));
  put_uint(out, 3, id);
  return out;
}

std::string fin_packet() {
  std::string out;
  put_uint(out, 1, static_cast<int>(PacketType::kFin));
  return out;
}

std::string error_packet(std::string_view message) {
  std::string out;
  put_uint(out, 1, static_cast<int>(PacketType::kError));
  put_bytes(out, 4, message);
  return out;
}

Status Packet::parse(const std::vector<std::string_view>& pieces) {
  if (pieces.size() <= 1) return parse(pieces.empty() ? std::string_view() : pieces[0]);
  // Only large contents come in pieces, and mostly all that stands before them is in the first.
  if (pieces[0].size() >= 64 && parse_spread(pieces[0], std::span(pieces).subspan(1)).ok()) return ok();
  flat_.clear();
  for (std::string_view piece : pieces) flat_.append(piece);
  return parse(flat_);
}

Status Packet::parse(std::string_view bytes) { return parse_spread(bytes, {}); }

// `behind`: what follows `head`.
Status Packet::parse_spread(std::string_view head, std::span<const std::string_view> behind) {
  std::size_t size_behind = 0;
  for (std::string_view piece : behind) size_behind += piece.size();
  type = PacketType::kStat;
  id = 0;
  has_stat = false;
  stat_bytes = {};
  data.clear();
  data_size = 0;
  file.reset();
  ProtoReader reader(head);
  while (!reader.done()) {
    int field, wire;
    std::uint64_t value = 0;
    if (!reader.tag(field, wire)) return not_a_packet();
    if (field == 4 && wire == 2) {
      if (!reader.varint(value)) return not_a_packet();
      std::string_view rest = head.substr(static_cast<std::size_t>(reader.at() - head.data()));
      data.clear();  // of several the last one counts
      data_size = static_cast<std::size_t>(value);
      if (behind.empty() && value <= rest.size()) {
        if (value > 0) data.push_back(rest.substr(0, data_size));
        reader = ProtoReader(rest.substr(data_size));
        continue;
      }
      // The contents go on in the other pieces and end the message, as all known writers order it.
      if (value != rest.size() + size_behind) return not_a_packet();
      if (!rest.empty()) data.push_back(rest);
      data.insert(data.end(), behind.begin(), behind.end());
      return ok();
    }
    if (field == 2 && wire == 2) {
      if (!reader.bytes(stat_bytes)) return not_a_packet();
      has_stat = true;
    } else if ((field == 1 || field == 3) && wire == 0) {
      if (!reader.varint(value) || value > 0xFFFFFFFFu) return not_a_packet();
      if (field == 3) id = static_cast<std::uint32_t>(value);
      if (field == 1) {
        if (value > static_cast<std::uint64_t>(PacketType::kError)) return not_a_packet();
        type = static_cast<PacketType>(value);
      }
    } else if (!reader.skip(wire)) {
      return not_a_packet();
    }
  }
  // Nothing but contents may be spread over pieces.
  return behind.empty() ? ok() : not_a_packet();
}

std::string Packet::data_text() const {
  std::string out;
  for (std::string_view piece : data) out.append(piece);
  return out;
}

Status parse_stat(std::string_view bytes, FileStat& out) {
  out = FileStat();
  ProtoReader reader(bytes);
  while (!reader.done()) {
    int field, wire;
    if (!reader.tag(field, wire)) return not_a_packet();
    if (wire == 2 && (field == 1 || field == 7 || field == 10)) {
      std::string_view text;
      if (!reader.bytes(text)) return not_a_packet();
      if (text.find('\0') != std::string_view::npos && field != 10) return not_a_packet();
      if (field == 1) out.path = text;
      if (field == 7) out.link = text;
      if (field == 10) KILN_RETURN_IF_ERROR(parse_xattr(text, out));
    } else if (wire == 0) {
      std::uint64_t value;
      if (!reader.varint(value)) return not_a_packet();
      switch (field) {
        case 2: out.mode = static_cast<std::uint32_t>(value); break;
        case 3: out.uid = static_cast<std::uint32_t>(value); break;
        case 4: out.gid = static_cast<std::uint32_t>(value); break;
        case 5: out.size = static_cast<std::int64_t>(value); break;
        case 6: out.modified_ns = static_cast<std::int64_t>(value); break;
        case 8: out.device_major = static_cast<std::int64_t>(value); break;
        case 9: out.device_minor = static_cast<std::int64_t>(value); break;
        default: break;
      }
    } else if (!reader.skip(wire)) {
      return not_a_packet();
    }
  }
  return ok();
}

std::string bytes_message_head(std::size_t size) {
  std::string head;
  if (size == 0) return head;
  put_varint(head, 1 << 3 | 2);
  put_varint(head, size);
  return head;
}

namespace {

std::string_view& view_of(std::string_view& piece) { return piece; }
std::string_view& view_of(http2::Bytes& piece) { return piece.view; }

template <typename Piece>
Status strip_bytes_message(std::vector<Piece>& pieces) {
  std::size_t total = 0;
  std::string head;  // a tag and a varint have eleven bytes at most, wherever the pieces are cut
  for (Piece& piece : pieces) {
    total += view_of(piece).size();
    if (head.size() < 11) head += view_of(piece).substr(0, 11 - head.size());
  }
  if (total == 0) return ok();
  ProtoReader reader(head);
  int field, wire;
  std::uint64_t size;
  bool good = reader.tag(field, wire) && field == 1 && wire == 2 && reader.varint(size);
  std::size_t offset = good ? static_cast<std::size_t>(reader.at() - head.data()) : 0;
  if (!good || size != total - offset) return peer_error(Code::kInvalidArgument, "malformed message of bytes");
  for (Piece& piece : pieces) {
    std::size_t count = std::min(offset, view_of(piece).size());
    view_of(piece).remove_prefix(count);
    offset -= count;
  }
  std::erase_if(pieces, [](Piece& piece) { return view_of(piece).empty(); });
  return ok();
}

}  // namespace

Status bytes_of_message(std::vector<std::string_view>& pieces) { return strip_bytes_message(pieces); }
Status bytes_of_message(std::vector<http2::Bytes>& pieces) { return strip_bytes_message(pieces); }

}  // namespace kiln::session::internal
