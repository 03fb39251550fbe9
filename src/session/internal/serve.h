// The services of the client's end, one maker each. A maker gives nothing when there is nothing to
// offer; what is made refers to `offers`, which outlives it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "host/poller.h"
#include "http2/served_call.h"
#include "session/client_session.h"
#include "session/internal/call.h"

namespace kiln::session::internal {

using Headers = std::multimap<std::string, std::string>;
Headers headers_of(const http2::ServedCall& call);
// The first value; "" when there is none.
std::string header_of(const http2::ServedCall& call, std::string_view key);

// Answers a call in a thread of its own, and ends it.
using Answer = std::function<void(std::shared_ptr<http2::ServedCall> call)>;
// The method paths that the session announces, and who answers them.
using Served = std::vector<std::pair<std::string, Answer>>;

Served serve_health();
Served serve_file_sync(const Offers& offers, std::stop_token stop);
Served serve_file_send(const Offers& offers, std::stop_token stop);
Served serve_auth(const Offers& offers, std::stop_token stop);
Served serve_secrets(const Offers& offers);
Served serve_agents(const Offers& offers, std::shared_ptr<host::Poller> poller);
Served serve_uploads(const Offers& offers, std::stop_token stop);
Served serve_contents(const Offers& offers);
Served serve_exporters(const Offers& offers);
Served serve_policy(const Offers& offers);

// What two of the services do, whatever carries the call: give a directory's files, and take what an
// exporter makes. `cancel` ends the call from here. Blocking.
inline constexpr const char* kGiveFiles = "/moby.filesync.v1.FileSync/DiffCopy";
inline constexpr const char* kTakeOutput = "/moby.filesync.v1.FileSend/DiffCopy";
Status give_files(const Offers& offers, const Headers& headers, MessagePipe& pipe, const std::function<void()>& cancel,
                  std::stop_token stop);
Status take_output(const Offers& offers, const Headers& headers, MessagePipe& pipe, std::stop_token stop);

// A call being answered, as messages of bytes.
class ServedPipe final : public MessagePipe {
 public:
  explicit ServedPipe(http2::ServedCall& call) : call_(call) {}
  bool read(Pieces& message) override { return call_.read(message); }
  bool more_at_hand() const override { return call_.more_at_hand(); }
  bool write(std::string_view head, const Bytes& body, Flush flush) override { return call_.write(head, body, flush); }
  bool complete() const override { return call_.complete(); }

 private:
  http2::ServedCall& call_;
};

// Reads the one question; false when there was none, and the call has been ended then.
bool read_question(http2::ServedCall& call, google::protobuf::MessageLite& question);
bool write_message(http2::ServedCall& call, const google::protobuf::MessageLite& message);

// Answers one question with one message: Status answer(call, question, answer).
template <typename Question, typename Reply, typename Function>
Answer answer_with(Function function) {
  return [function = std::move(function)](std::shared_ptr<http2::ServedCall> call) {
    Question question;
    Reply reply;
    if (!read_question(*call, question)) return;
    Status status = function(*call, question, reply);
    if (status.ok()) write_message(*call, reply);
    call->finish(to_outcome(status));
  };
}

// Answers with as many messages as it likes: Status answer(call, pipe).
template <typename Function>
Answer answer_stream(Function function) {
  return [function = std::move(function)](std::shared_ptr<http2::ServedCall> call) {
    ServedPipe pipe(*call);
    call->finish(to_outcome(function(*call, pipe)));
  };
}

}  // namespace kiln::session::internal
