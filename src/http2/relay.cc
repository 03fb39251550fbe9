#include "http2/relay.h"

#include "http2/one_at_a_time.h"

namespace kiln::http2 {
namespace {

// Kept by the callbacks of the two streams, which they drop when they close.
class Relay {
 public:
  Relay(std::shared_ptr<Stream> asked, std::shared_ptr<Stream> passed_on)
      : asked_(std::move(asked)), passed_on_(std::move(passed_on)) {}

  void turn() {
    turns_.run([this] {
      if (!question_over_) question_over_ = pass_question();
      if (!answer_over_) answer_over_ = pass_answer();
      if (answer_over_ || !asked_->closed()) return;
      passed_on_->reset(kCancel);  // nobody waits for the answer any more
      answer_over_ = true;
    });
  }

 private:
  enum class Passed { kAll, kAllAndOver, kSome };
  // What is there; kSome when the other side takes no more at the moment.
  Passed pass_bytes(Stream& from, Stream& to) {
    while (to.writable()) {
      const Stream::Taken taken = from.take(bytes_, kNoWait);
      if (taken != Stream::Taken::kSome) {
        to.flush();
        return taken == Stream::Taken::kEnd ? Passed::kAllAndOver : Passed::kAll;
      }
      ByteQueue queue;
      for (const Bytes& piece : bytes_) queue.append(piece);
      bytes_.clear();
      to.write(std::move(queue), Flush::kLater);
    }
    to.flush();
    return Passed::kSome;
  }

  bool pass_question() {
    if (pass_bytes(*asked_, *passed_on_) != Passed::kAllAndOver) return false;
    const Ending ending = asked_->ending();
    if (ending.complete) {
      passed_on_->end(ending.trailers);
    } else {
      passed_on_->reset(kCancel);
    }
    return true;
  }

  bool pass_answer() {
    if (!responded_) {
      std::optional<Fields> fields = passed_on_->begin_fields();
      if (!fields && !passed_on_->ended()) return false;
      responded_ = true;
      if (fields && passed_on_->ended_at_once()) {
        asked_->respond_and_end(*fields);
        return true;
      }
      if (fields) asked_->respond(*fields);
    }
    if (pass_bytes(*passed_on_, *asked_) != Passed::kAllAndOver) return false;
    Ending ending = passed_on_->ending();
    if (ending.complete) {
      asked_->end(std::move(ending.trailers));
    } else {
      asked_->reset(ending.lost.ok() ? ending.error_code : kRefusedStream);
    }
    return true;
  }

  const std::shared_ptr<Stream> asked_, passed_on_;
  OneAtATime turns_;
  std::deque<Bytes> bytes_;
  bool responded_ = false, question_over_ = false, answer_over_ = false;
};

}  // namespace

void relay(std::shared_ptr<Stream> asked, std::shared_ptr<Stream> passed_on) {
  auto both = std::make_shared<Relay>(asked, passed_on);
  asked->on_change([both] { both->turn(); });
  passed_on->on_change([both] { both->turn(); });
}

}  // namespace kiln::http2
