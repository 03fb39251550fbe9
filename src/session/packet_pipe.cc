#include "session/internal/packet_pipe.h"

#include "session/internal/proto_text.h"

namespace kiln::session::internal {
namespace {

constexpr int kBatchField = 15;
constexpr char kBatchTag = static_cast<char>(kBatchField << 3 | 2);
constexpr std::size_t kBatchBytes = 128 * 1024;

}  // namespace

Result<bool> PacketPipe::read(Packet& packet) {
  while (left_.empty()) {
    if (!pipe_.read(message_)) return false;
    bytes_read_ += static_cast<std::int64_t>(http2::size_of(message_));
    if (message_.empty() || message_[0].empty() || message_[0][0] != kBatchTag) {
      KILN_RETURN_IF_ERROR(packet.parse(message_));
      packet.file = pipe_.take_file();
      return true;
    }
    peer_batches_ = true;
    left_ = message_[0];
    if (message_.size() > 1) left_ = in_ = http2::flat(message_);
  }
  ProtoReader reader(left_);
  int field, wire;
  std::string_view bytes;
  if (!reader.tag(field, wire) || field != kBatchField || wire != 2 || !reader.bytes(bytes)) {
    return peer_error(Code::kInvalidArgument, "malformed batch of file packets");
  }
  left_.remove_prefix(static_cast<std::size_t>(reader.at() - left_.data()));
  KILN_RETURN_IF_ERROR(packet.parse(bytes));
  return true;
}

void PacketPipe::drain() {
  while (pipe_.read(message_)) {
  }
}

bool PacketPipe::send(std::string_view head, const Bytes& body, MessagePipe::Flush flush) {
  bytes_written_ += static_cast<std::int64_t>(head.size() + body.view.size());
  return pipe_.write(head, body, flush);
}

bool PacketPipe::send_batch() {
  if (out_.empty()) return true;
  return send({}, http2::owned(std::exchange(out_, {})), MessagePipe::Flush::kNow);
}

bool PacketPipe::write(std::string_view packet, MessagePipe::Flush flush) {
  if (!batching_) return send(packet, {}, flush);
  if (out_.empty()) out_.reserve(kBatchBytes + 64 * 1024);
  put_bytes(out_, kBatchField, packet);
  return out_.size() < kBatchBytes && flush == MessagePipe::Flush::kLater ? true : send_batch();
}

bool PacketPipe::write_data(std::uint32_t id, const Bytes& bytes) {
  if (batching_ && bytes.view.size() < 64 * 1024) {
    return write(data_packet_text(id, bytes.view), MessagePipe::Flush::kLater);
  }
  return send_batch() && send(data_packet_head(id, bytes.view.size()), bytes, MessagePipe::Flush::kLater);
}

bool PacketPipe::write_file(std::uint32_t id, int file, std::int64_t bytes) {
  if (!pipe_.takes_files() || !send_batch()) return false;
  if (!pipe_.write_file(data_end_packet(id), file)) return false;
  bytes_written_ += bytes;
  return true;
}

}  // namespace kiln::session::internal
