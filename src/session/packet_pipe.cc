#include "session/internal/packet_pipe.h"

#include "session/internal/proto_text.h"

namespace kiln::session::internal {
namespace {

constexpr int kBatchField = 15;
constexpr char kBatchTag = static_cast<char>(kBatchField << 3 | 2);
constexpr std::size_t kBatchBytes = 128 * 1024;

grpc::Slice take_slice(std::string& text) {
  auto* kept = new std::string(std::move(text));
  text.clear();
  return grpc::Slice(kept->data(), kept->size(), [](void* owned) { delete static_cast<std::string*>(owned); }, kept);
}

}  // namespace

Result<bool> PacketPipe::read(Packet& packet) {
  while (left_.empty()) {
    grpc::ByteBuffer message;
    if (!pipe_.read(message)) return false;
    bytes_read_ += static_cast<std::int64_t>(message.Length());
    std::vector<grpc::Slice> slices;
    if (!message.Dump(&slices).ok()) return peer_error(Code::kInvalidArgument, "unreadable message of files");
    bool batch = !slices.empty() && slices[0].size() > 0 && static_cast<char>(*slices[0].begin()) == kBatchTag;
    if (!batch) {
      KILN_RETURN_IF_ERROR(packet.parse(std::move(slices)));
      packet.file = pipe_.take_file();
      return true;
    }
    peer_batches_ = true;
    in_.clear();
    for (const grpc::Slice& slice : slices) in_.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    left_ = in_;
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
  grpc::ByteBuffer message;
  while (pipe_.read(message)) {
  }
}

bool PacketPipe::send(const grpc::ByteBuffer& message, MessagePipe::Flush flush) {
  bytes_written_ += static_cast<std::int64_t>(message.Length());
  return pipe_.write(message, flush);
}

bool PacketPipe::send_batch() {
  if (out_.empty()) return true;
  grpc::Slice slice = take_slice(out_);
  return send(grpc::ByteBuffer(&slice, 1), MessagePipe::Flush::kNow);
}

bool PacketPipe::write(std::string_view packet, MessagePipe::Flush flush) {
  if (!batching_) {
    grpc::Slice slice(packet.data(), packet.size());
    return send(grpc::ByteBuffer(&slice, 1), flush);
  }
  if (out_.empty()) out_.reserve(kBatchBytes + 64 * 1024);
  put_bytes(out_, kBatchField, packet);
  return out_.size() < kBatchBytes && flush == MessagePipe::Flush::kLater ? true : send_batch();
}

bool PacketPipe::write_data(std::uint32_t id, const grpc::Slice& bytes) {
  if (batching_ && bytes.size() < 64 * 1024) {
    return write(data_packet_text(id, {reinterpret_cast<const char*>(bytes.begin()), bytes.size()}),
                 MessagePipe::Flush::kLater);
  }
  return send_batch() && send(data_packet(id, bytes), MessagePipe::Flush::kLater);
}

bool PacketPipe::write_file(std::uint32_t id, int file, std::int64_t bytes) {
  if (!pipe_.takes_files() || !send_batch()) return false;
  std::string packet = data_end_packet(id);
  grpc::Slice slice(packet.data(), packet.size());
  if (!pipe_.write_file(grpc::ByteBuffer(&slice, 1), file)) return false;
  bytes_written_ += bytes;
  return true;
}

}  // namespace kiln::session::internal
