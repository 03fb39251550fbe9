#include "session/internal/nested_carrier.h"

#include <atomic>

#include "http2/one_at_a_time.h"
#include "session/internal/call.h"
#include "session/internal/packet.h"

namespace kiln::session::internal {
namespace {

class NestedCarrier final : public http2::Carrier, public std::enable_shared_from_this<NestedCarrier> {
 public:
  NestedCarrier(std::shared_ptr<http2::Stream> stream, std::shared_ptr<http2::Connection> connection,
                std::function<void()> finish, std::function<void()> done)
      : stream_(stream),
        connection_(std::move(connection)),
        finish_(std::move(finish)),
        done_(std::move(done)),
        reader_(std::move(stream)) {}

  void start() {
    connection_->start(shared_from_this());
    stream_->flush();
    stream_->on_change([self = shared_from_this()] { self->turn(); });
  }

  // Goes at once unless the client is slow; then the connection waits until it has caught up.
  bool send(http2::ByteQueue bytes) override {
    const std::string head = bytes_message_head(bytes.size());
    http2::ByteQueue message;
    message.append(std::string_view(http2::message_head(head.size() + bytes.size())));
    message.append(std::string_view(head));
    bytes.move_front(bytes.size(), message);
    stream_->write(std::move(message), http2::Flush::kNow);
    if (stream_->writable()) return true;
    waiting_ = true;
    turn();  // it may have caught up meanwhile
    return false;
  }

  void close() override {
    finish_();
    turn();
  }

 private:
  void turn() {
    turns_.run([this] { work(); });
  }

  void work() {
    if (over_) return;
    // All messages that have come are received as one.
    bytes_.clear();
    http2::MessageReader::Got got;
    bool good = true;
    while ((got = reader_.read(message_, http2::kNoWait)) == http2::MessageReader::Got::kMessage) {
      good = good && bytes_of_message(message_).ok();
      if (good) bytes_.insert(bytes_.end(), message_.begin(), message_.end());
    }
    if (good && !bytes_.empty()) connection_->receive(bytes_);
    if (waiting_ && stream_->writable()) {
      waiting_ = false;
      connection_->sent();
    }
    if (good && got == http2::MessageReader::Got::kNothing && !connection_->ended()) return;
    over_ = true;
    connection_->end(peer_error(Code::kUnavailable, "the session has ended"));
    done_();
  }

  const std::shared_ptr<http2::Stream> stream_;
  const std::shared_ptr<http2::Connection> connection_;
  const std::function<void()> finish_, done_;
  std::atomic<bool> waiting_{false};

  // Used by work() alone.
  http2::OneAtATime turns_;
  http2::MessageReader reader_;
  std::vector<http2::Bytes> message_, bytes_;
  bool over_ = false;
};

}  // namespace

void carry_nested(std::shared_ptr<http2::Stream> stream, std::shared_ptr<http2::Connection> connection,
                  std::function<void()> finish, std::function<void()> done) {
  std::make_shared<NestedCarrier>(std::move(stream), std::move(connection), std::move(finish), std::move(done))
      ->start();
}

}  // namespace kiln::session::internal
