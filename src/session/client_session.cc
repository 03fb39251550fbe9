#include "session/client_session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>

#include <mutex>

#include "base/id.h"
#include "base/text.h"
#include "session/callback_threads.h"
#include "session/internal/direct_door.h"
#include "session/internal/packet_pipe.h"
#include "session/internal/reactors.h"
#include "session/internal/serve.h"
#include "session/windows.h"

namespace kiln::session {
namespace {

class GrpcClientSession final : public ClientSession {
 public:
  GrpcClientSession(std::string id, Offers offers) : id_(std::move(id)), offers_(std::move(offers)) {}
  ~GrpcClientSession() override { close(); }

  Status start(const std::shared_ptr<grpc::Channel>& channel, const std::string& name, const std::string& shared_key) {
    hold_callback_threads();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
      return errno_error(errno, "open a session");
    }
    host::Fd ours(ends[0]), servers(ends[1]);
    internal::Metadata metadata = {{"x-docker-expose-session-uuid", id_},
                                   {"x-docker-expose-session-name", name},
                                   {"x-docker-expose-session-sharedkey", shared_key},
                                   {internal::kBatchHeader, "1"}};
    serve(metadata);
    open_door(metadata);
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 20);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
    use_fixed_windows(builder);
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
    for (auto& served : services_) builder.RegisterService(served.get());
    server_ = builder.BuildAndStart();
    if (!server_) return engine_error("cannot start the session's server");
    grpc::AddInsecureChannelFromFd(server_.get(), servers.release());
    pump_ = internal::ClientStream::start(channel, "/moby.buildkit.v1.Control/Session", metadata, poller_,
                                          std::move(ours), [state = state_](const grpc::Status& status) {
                                            std::lock_guard lock(state->mutex);
                                            state->ended = internal::from_grpc(status);
                                          });
    return ok();
  }

  const std::string& id() const override { return id_; }

  void close() override {
    if (!server_) return;
    stop_.request_stop();
    pump_->abort();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
    door_.reset();
  }

  std::optional<Status> ended() const override {
    std::lock_guard lock(state_->mutex);
    return state_->ended;
  }

 private:
  struct State {
    std::mutex mutex;
    std::optional<Status> ended;
  };

  void serve(internal::Metadata& metadata) {
    std::stop_token stop = stop_.get_token();
    internal::Served all[] = {
        internal::serve_health(),          internal::serve_file_sync(offers_, stop),
        internal::serve_file_send(offers_, stop), internal::serve_auth(offers_, stop),
        internal::serve_secrets(offers_),  internal::serve_agents(offers_, poller_),
        internal::serve_uploads(offers_, stop),   internal::serve_contents(offers_),
        internal::serve_exporters(offers_), internal::serve_policy(offers_),
    };
    for (internal::Served& served : all) {
      if (!served.service) continue;
      services_.push_back(std::move(served.service));
      for (std::string& method : served.methods) {
        metadata.emplace_back("x-docker-expose-session-grpc-method", std::move(method));
      }
    }
  }

  void open_door(internal::Metadata& metadata) {
    if (!offers_.direct || (offers_.dirs.empty() && offers_.outputs.empty())) return;
    auto handle = [this](const std::string& method, const internal::Headers& headers, internal::DirectPipe& pipe) {
      std::stop_token stop = stop_.get_token();
      if (method == internal::kGiveFiles) {
        return internal::give_files(offers_, headers, pipe, [&] { pipe.stop_reading(); }, stop);
      }
      if (method == internal::kTakeOutput) return internal::take_output(offers_, headers, pipe, stop);
      return user_error(Code::kUnimplemented, fmt::format("unknown method {}", method));
    };
    door_ = internal::DirectDoor::open(handle);
    if (door_) metadata.emplace_back(internal::kDirectHeader, door_->address());
  }

  std::string id_;
  Offers offers_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::shared_ptr<internal::Poller> poller_ = std::make_shared<internal::Poller>();
  std::stop_source stop_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<internal::Pump> pump_;
  std::unique_ptr<internal::DirectDoor> door_;
};

}  // namespace

Result<std::unique_ptr<ClientSession>> ClientSession::open(std::shared_ptr<grpc::Channel> channel,
                                                           const std::string& name, const std::string& shared_key,
                                                           Offers offers) {
  auto session = std::make_unique<GrpcClientSession>(new_id(), std::move(offers));
  KILN_RETURN_IF_ERROR(session->start(channel, name, shared_key));
  return std::unique_ptr<ClientSession>(std::move(session));
}

}  // namespace kiln::session
