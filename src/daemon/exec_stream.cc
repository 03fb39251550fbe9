#include <fmt/format.h>

#include <map>

#include "daemon/calls.h"
#include "daemon/gateway_containers.h"
#include "wire/gateway.grpc.pb.h"
#include "wire/rpc_status.pb.h"

namespace kiln::daemon {
namespace {

// Output that waits for a slow client; more holds the programs back.
constexpr std::size_t kWaitingMax = 4u << 20;

using Message = moby::buildkit::v1::frontend::ExecMessage;

// One ExecProcess call: any number of programs, told apart by ProcessID. Messages of the client are
// handled one at a time on the pool, because writing to a program may block. Owns itself; ends when
// the client has no more to say and every program has exited.
class ExecStream final : public grpc::ServerBidiReactor<Message, Message> {
 public:
  ExecStream(Pool& pool, grpc::CallbackServerContext* context, FindGateway find) : pool_(pool) {
    pool_.submit([this, context, find = std::move(find)] { open(*context, find); });
  }

  void OnReadDone(bool got) override {
    if (got) {
      pool_.submit([this] { handle_and_read(); });
    } else {
      end_input(ok());
    }
  }
  void OnWriteDone(bool) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    waiting_bytes_ -= queue_.front().file().data().size();
    queue_.pop_front();
    room_.notify_all();
    write_next();
  }
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override {
    // Whoever ended the stream may still hold the mutex.
    { std::lock_guard lock(mutex_); }
    closed_.reset();
    if (gateway_ != nullptr) gateway_->leave();
    delete this;
  }

 private:
  struct Program {
    std::shared_ptr<ContainerProcess> process;
    std::vector<std::uint32_t> outputs;  // descriptors the client listens to
  };

  void open(grpc::CallbackServerContext& context, const FindGateway& find) {
    const Status status = guarded([&]() -> Status {
      KILN_ASSIGN_OR_RETURN(auto gateway, find(context, stop_.get_token()));
      if (gateway->containers() == nullptr) {
        return user_error(Code::kUnimplemented, "this build offers no containers to its frontend");
      }
      if (!gateway->enter()) return cancelled("the build has ended");
      gateway_ = std::move(gateway);
      closed_.emplace(gateway_->stop_token(), [this] { stop_.request_stop(); });
      return ok();
    });
    if (!status.ok()) return end_input(annotate(status, "forwarding ExecProcess"));
    StartRead(&incoming_);
  }

  void handle_and_read() {
    const Status status = guarded([&] { return handle(incoming_); });
    if (!status.ok()) return end_input(status);
    StartRead(&incoming_);
  }

  Status handle(const Message& message) {
    const std::string id = message.processid();
    if (id.empty()) return user_error(Code::kInvalidArgument, "ProcessID required");
    if (message.has_init()) return start(id, message.init());
    std::shared_ptr<ContainerProcess> process;
    {
      std::lock_guard lock(mutex_);
      auto it = programs_.find(id);
      if (it == programs_.end()) return user_error(Code::kNotFound, fmt::format("IO for process \"{}\" not found", id));
      process = it->second.process;
    }
    if (process == nullptr) return ok();  // it did not come to run
    if (message.has_file()) {
      return process->write(static_cast<int>(message.file().fd()), message.file().data(), message.file().eof());
    }
    if (message.has_resize()) {
      return process->resize(static_cast<int>(message.resize().rows()), static_cast<int>(message.resize().cols()));
    }
    if (message.has_signal()) return process->signal(message.signal().name());
    return ok();
  }

  Status start(const std::string& id, const moby::buildkit::v1::frontend::InitMessage& init) {
    {
      std::lock_guard lock(mutex_);
      if (programs_.contains(id)) return user_error(Code::kAlreadyExists, fmt::format("Process {} already exists", id));
      Program& program = programs_[id];
      for (std::uint32_t descriptor : init.fds()) {
        if (descriptor != 0) program.outputs.push_back(descriptor);
      }
      ++running_;
    }
    ProcessEvents events;
    events.started = [this, id] { send_start(id); };
    events.output = [this, id](int descriptor, std::string_view bytes) {
      Message message;
      message.set_processid(id);
      message.mutable_file()->set_fd(static_cast<std::uint32_t>(descriptor));
      message.mutable_file()->set_data(std::string(bytes));
      send_output(std::move(message));
    };
    for (std::uint32_t descriptor : init.fds()) events.wanted.insert(static_cast<int>(descriptor));
    events.exited = [this, id](int code, const Status& status) { exited(id, code, status); };
    auto process = gateway_->containers()->start(init, std::move(events), stop_.get_token());
    if (!process.ok()) {
      // The others go on; this one's end says why.
      send_start(id);
      exited(id, kUnknownExit, process.status());
      return ok();
    }
    std::lock_guard lock(mutex_);
    programs_[id].process = std::move(process).value();
    return ok();
  }

  void send_start(const std::string& id) {
    Message message;
    message.set_processid(id);
    message.mutable_started();
    send(std::move(message));
  }

  void exited(const std::string& id, int code, const Status& status) {
    std::vector<std::uint32_t> outputs;
    {
      std::lock_guard lock(mutex_);
      outputs = programs_[id].outputs;
    }
    for (std::uint32_t descriptor : outputs) {
      Message message;
      message.set_processid(id);
      message.mutable_file()->set_fd(descriptor);
      message.mutable_file()->set_eof(true);
      send(std::move(message));
    }
    Message exit;
    exit.set_processid(id);
    exit.mutable_exit()->set_code(static_cast<std::uint32_t>(code));
    if (!status.ok()) to_proto(status, *exit.mutable_exit()->mutable_error());
    send(std::move(exit));
    Message done;
    done.set_processid(id);
    done.mutable_done();
    send(std::move(done));
    std::lock_guard lock(mutex_);
    --running_;
    write_next();
  }

  // The client says no more: its programs are ended, as nobody could talk to them.
  void end_input(const Status& status) {
    stop_.request_stop();
    std::lock_guard lock(mutex_);
    input_ended_ = true;
    end_ = to_grpc(status);
    write_next();
  }

  // Holds the program back while the client is slow to read.
  void send_output(Message message) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, stop_.get_token(), [&] { return waiting_bytes_ < kWaitingMax; });
    if (stop_.stop_requested()) return;
    waiting_bytes_ += message.file().data().size();
    queue_.push_back(std::move(message));
    write_next();
  }

  void send(Message message) {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(message));
    write_next();
  }

  void write_next() {
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      writing_ = true;
      StartWrite(&queue_.front());
    } else if (input_ended_ && running_ == 0) {
      finished_ = true;
      Finish(end_);
    }
  }

  Pool& pool_;
  std::stop_source stop_;
  std::shared_ptr<Gateway> gateway_;
  std::optional<std::stop_callback<std::function<void()>>> closed_;
  Message incoming_;
  std::mutex mutex_;
  std::map<std::string, Program> programs_;
  std::deque<Message> queue_;
  std::condition_variable_any room_;
  std::size_t waiting_bytes_ = 0;  // of output in the queue
  int running_ = 0;
  bool writing_ = false;
  bool input_ended_ = false;
  bool finished_ = false;
  grpc::Status end_;
};

}  // namespace

grpc::ServerBidiReactor<Message, Message>* serve_exec(Pool& pool, grpc::CallbackServerContext* context,
                                                      FindGateway find) {
  return new ExecStream(pool, context, std::move(find));
}

}  // namespace kiln::daemon
