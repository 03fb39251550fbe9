// HTTP/2 and gRPC's calls from outside: what a client sends to a door of the daemon, and what whoever answers sends to
// a client. The first byte chooses the end, whether a greeting stands before the rest, how many bytes come at once,
// and what becomes of the streams.
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "http2/relay.h"
#include "http2/served_call.h"

namespace {

using namespace kiln;
using namespace kiln::http2;

// Takes all; tells of every second send later, as a full socket does.
class Drain final : public Carrier {
 public:
  bool send(ByteQueue) override { return (later_ = !later_) == false; }
  void close() override { closed_ = true; }
  bool later() const { return later_; }
  bool closed() const { return closed_; }

 private:
  bool later_ = false, closed_ = false;
};

struct Choice {
  explicit Choice(std::uint8_t byte)
      : client((byte & 1) != 0),
        greeted((byte & 2) == 0),
        relayed((byte & 16) != 0),
        piece_bytes(std::array<std::size_t, 4>{SIZE_MAX, 1, 9, 1000}[byte >> 2 & 3]) {}
  bool client, greeted, relayed;
  std::size_t piece_bytes;
};

void feed(Connection& connection, const Drain& drain, std::string_view bytes, std::size_t piece_bytes,
          const std::function<void()>& between) {
  if (drain.later()) connection.sent();
  while (!bytes.empty()) {
    std::string_view piece = bytes.substr(0, piece_bytes);
    bytes.remove_prefix(piece.size());
    std::vector<Bytes> pieces{owned(std::string(piece))};
    connection.receive(pieces);
    if (drain.later()) connection.sent();
    between();
  }
}

// The messages that are there by now go back to where they came from.
void echo(Stream& stream, MessageReader& reader) {
  Pieces message;
  while (reader.read(message, kNoWait) == MessageReader::Got::kMessage && stream.writable()) {
    stream.write(message_head(size_of(message)), owned(flat(message)), Flush::kNow);
  }
}

// Of a connection that has ended.
void read_all(const std::shared_ptr<Stream>& stream, std::size_t bytes_max) {
  ServedCall call(stream);
  std::size_t total = 0;
  for (Pieces message; call.read(message);) total += size_of(message);
  KILN_CHECK(total <= bytes_max);
  call.finish({});
}

void serve(std::string_view bytes, const Choice& choice) {
  auto drain = std::make_shared<Drain>();
  auto behind = Connection::client();
  behind->start(std::make_shared<Drain>());
  std::vector<std::shared_ptr<Stream>> streams;
  std::vector<MessageReader> readers;
  auto connection = Connection::server([&](std::shared_ptr<Stream> stream) {
    Fields fields = stream->begin_fields().value_or(Fields{});
    if (choice.relayed) {
      auto other = behind->open(fields);
      relay(std::move(stream), std::move(other));
      return;
    }
    stream->respond({{":status", "200"}});
    readers.emplace_back(stream);
    streams.push_back(std::move(stream));
  });
  connection->start(drain);
  feed(*connection, *drain, bytes, choice.piece_bytes, [&] {
    for (std::size_t i = 0; i < streams.size(); i += 2) echo(*streams[i], readers[i]);
  });
  connection->end(ok());
  behind->end(ok());
  KILN_CHECK(connection->ended());
  for (std::size_t i = 1; i < streams.size(); i += 2) read_all(streams[i], bytes.size());
}

void ask(std::string_view bytes, const Choice& choice) {
  auto drain = std::make_shared<Drain>();
  auto connection = Connection::client();
  connection->start(drain);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(std::make_unique<Call>(*connection, "/service/Method", CallOptions{}));
  for (auto& call : calls) call->write("question", {}, Flush::kNow);
  feed(*connection, *drain, bytes, choice.piece_bytes, [] {});
  connection->end(ok());
  for (auto& call : calls) {
    std::size_t total = 0;
    for (Pieces message; call->read(message);) total += size_of(message);
    KILN_CHECK(total <= bytes.size());
    (void)call->finish();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Choice choice(data[0]);
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr std::string_view kMagic = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  constexpr std::string_view kNoSettings("\0\0\0\4\0\0\0\0\0", 9);
  if (choice.greeted) bytes = (choice.client ? std::string() : std::string(kMagic)) + std::string(kNoSettings) + bytes;
  choice.client ? ask(bytes, choice) : serve(bytes, choice);
  return 0;
}
