#include "daemon/front_calls.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "daemon/build_calls.h"
#include "daemon/calls.h"
#include "daemon/control_messages.h"
#include "daemon/status_wire.h"
#include "http2/one_at_a_time.h"
#include "http2/served_call.h"
#include "wire/control.pb.h"

namespace kiln::daemon {

struct FrontCalls::State {
  explicit State(const ServiceGround& given) : ground(given) {}
  ServiceGround ground;
  std::mutex mutex;
  std::condition_variable changed;
  int calls = 0;
};

namespace {

namespace api = moby::buildkit::v1;
using Got = http2::MessageReader::Got;

constexpr std::string_view kSolve = "/moby.buildkit.v1.Control/Solve";
constexpr std::string_view kStatus = "/moby.buildkit.v1.Control/Status";
// As gRPC's server takes them, and BuildKit's.
constexpr std::size_t kMessageBytesMax = 16 * 1024 * 1024;
// What takes longer to parse than others should wait goes to the pool.
constexpr std::size_t kQuickBytesMax = 64 * 1024;

// Says while it lives that a call is under way.
class Counted {
 public:
  explicit Counted(std::shared_ptr<FrontCalls::State> state) : state_(std::move(state)) {
    std::lock_guard lock(state_->mutex);
    ++state_->calls;
  }
  ~Counted() {
    std::lock_guard lock(state_->mutex);
    --state_->calls;
    state_->changed.notify_all();
  }
  Counted(const Counted&) = delete;

  const ServiceGround& ground() const { return state_->ground; }

 private:
  const std::shared_ptr<FrontCalls::State> state_;
};

// The one question of a call; nothing while it has not come.
std::optional<Result<std::string>> question_of(http2::ServedCall& call) {
  http2::Pieces message;
  switch (call.read_at_hand(message)) {
    case Got::kNothing: return std::nullopt;
    case Got::kMessage: break;
    case Got::kEnd:
    case Got::kBroken: return Result<std::string>(peer_error(Code::kInternal, "the call ended before its question"));
  }
  if (const std::size_t size = http2::size_of(message); size > kMessageBytesMax) {
    return Result<std::string>(user_error(
        Code::kResourceExhausted, fmt::format("Received message larger than max ({} vs. {})", size, kMessageBytesMax)));
  }
  return Result<std::string>(http2::flat(message));
}

// Kept by its stream's callback until the stream has closed, and by the build until it has ended.
class SolveCall final : public std::enable_shared_from_this<SolveCall> {
 public:
  SolveCall(std::shared_ptr<FrontCalls::State> state, std::shared_ptr<http2::Stream> stream)
      : counted_(std::move(state)), call_(std::move(stream)) {}

  void on_change() {
    turns_.run([this] {
      if (!asked_) listen();
      if (!asked_ || cancelled_ || answered_ || !call_.stream()->closed()) return;
      cancelled_ = true;
      // In the pool, since stopping a build may take a moment.
      counted_.ground().pool->submit([self = shared_from_this()] { self->stop_.request_stop(); });
    });
  }

 private:
  void listen() {
    std::optional<Result<std::string>> question = question_of(call_);
    if (!question) return;
    asked_ = true;
    if (!question->ok()) return answer(question->status());
    if ((*question)->size() <= kQuickBytesMax) return begin(**question);
    counted_.ground().pool->submit([self = shared_from_this(), bytes = **std::move(question)] { self->begin(bytes); });
  }

  void begin(const std::string& bytes) {
    const Status status = guarded([&]() -> Status {
      api::SolveRequest message;
      if (!message.ParseFromString(bytes)) {
        return user_error(Code::kInvalidArgument, "the request does not parse");
      }
      begin_solve(counted_.ground(), message, call_.metadata(), stop_.get_token(),
                  [self = shared_from_this()](const Result<SolveResponse>& response) { self->answer(response); });
      return ok();
    });
    if (!status.ok()) answer(status);
  }

  void answer(const Result<SolveResponse>& response) {
    log_failure("Solve", response.status());
    answered_ = true;
    if (response.ok()) {
      api::SolveResponse message;
      to_message(*response, message);
      call_.write({}, http2::owned(message.SerializeAsString()), http2::Flush::kLater);
    }
    call_.finish(to_outcome(response.status()));
  }

  const Counted counted_;
  http2::ServedCall call_;
  http2::OneAtATime turns_;
  bool asked_ = false, cancelled_ = false;  // in turns
  std::atomic<bool> answered_{false};
  std::stop_source stop_;
};

// Kept by its stream's callback until the stream has closed.
class StatusCall final {
 public:
  StatusCall(std::shared_ptr<FrontCalls::State> state, std::shared_ptr<http2::Stream> stream)
      : counted_(std::move(state)),
        call_(std::make_shared<http2::ServedCall>(std::move(stream))),
        feed_(std::make_shared<StatusFeed>(std::make_unique<Outlet>(call_))) {}

  void on_change() {
    turns_.run([this] {
      if (!asked_) listen();
    });
    call_->stream()->closed() ? feed_->cancel() : feed_->go_on();
  }

 private:
  class Outlet final : public StatusOutlet {
   public:
    explicit Outlet(std::shared_ptr<http2::ServedCall> call) : call_(std::move(call)) {}
    bool writable() override { return call_->stream()->writable(); }
    void write(std::string frame) override { call_->write({}, http2::owned(std::move(frame)), http2::Flush::kNow); }
    void end(const Status& status) override { call_->finish(to_outcome(status)); }

   private:
    const std::shared_ptr<http2::ServedCall> call_;
  };

  void listen() {
    std::optional<Result<std::string>> question = question_of(*call_);
    if (!question) return;
    asked_ = true;
    api::StatusRequest request;
    if (!question->ok()) return feed_->fail(question->status());
    if (!request.ParseFromString(**question)) {
      return feed_->fail(user_error(Code::kInvalidArgument, "the request does not parse"));
    }
    call_->begin({{kTimestampField, current_timestamp()}});
    begin_status(counted_.ground(), request.ref(), feed_);
  }

  const Counted counted_;
  const std::shared_ptr<http2::ServedCall> call_;
  const std::shared_ptr<StatusFeed> feed_;
  http2::OneAtATime turns_;
  bool asked_ = false;  // in turns
};

template <typename Served>
void serve(const std::shared_ptr<FrontCalls::State>& state, const std::shared_ptr<http2::Stream>& stream) {
  auto call = std::make_shared<Served>(state, stream);
  stream->on_change([call] { call->on_change(); });
}

}  // namespace

FrontCalls::FrontCalls(const ServiceGround& ground) : state_(std::make_shared<State>(ground)) {}
FrontCalls::~FrontCalls() = default;

bool FrontCalls::take(const std::shared_ptr<http2::Stream>& stream, const http2::Fields& fields) {
  const std::string_view method = http2::field_of(fields, ":path").value_or("");
  if (method != kSolve && method != kStatus) return false;
  if (http2::field_of(fields, "grpc-timeout")) return false;
  if (http2::field_of(fields, "grpc-encoding").value_or("identity") != "identity") return false;
  if (method == kSolve) {
    serve<SolveCall>(state_, stream);
  } else {
    serve<StatusCall>(state_, stream);
  }
  return true;
}

void FrontCalls::wait_idle(Duration patience) {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, patience, [this] { return state_->calls == 0; });
}

}  // namespace kiln::daemon
