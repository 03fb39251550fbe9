// The protobuf encoding's two primitives, for the few messages this room reads and writes by hand.
//
// Format: protobuf encoding, wire types varint (0), 64-bit (1), length-delimited (2), 32-bit (5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kiln::session::internal {

inline void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}
inline void put_uint(std::string& out, int field, std::uint64_t value) {
  if (value == 0) return;
  put_varint(out, static_cast<std::uint64_t>(field) << 3);
  put_varint(out, value);
}
inline void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  out.append(bytes);
}

// Reads forward; false once the bytes make no sense.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  bool done() const { return at_ == end_; }
  const char* at() const { return at_; }

  bool varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
      auto byte = static_cast<unsigned char>(*at_++);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool tag(int& field, int& wire_type) {
    std::uint64_t value;
    if (!varint(value)) return false;
    field = static_cast<int>(value >> 3);
    wire_type = static_cast<int>(value & 7);
    return true;
  }
  bool bytes(std::string_view& out) {
    std::uint64_t size;
    if (!varint(size) || size > static_cast<std::uint64_t>(end_ - at_)) return false;
    out = {at_, static_cast<std::size_t>(size)};
    at_ += size;
    return true;
  }
  bool skip(int wire_type) {
    std::uint64_t ignored;
    std::string_view bytes_ignored;
    switch (wire_type) {
      case 0: return varint(ignored);
      case 1: return advance(8);
      case 2: return bytes(bytes_ignored);
      case 5: return advance(4);
      default: return false;
    }
  }

 private:
  bool advance(int count) {
    if (end_ - at_ < count) return false;
    at_ += count;
    return true;
  }
  const char* at_;
  const char* end_;
};

}  // namespace kiln::session::internal
