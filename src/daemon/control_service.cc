#include <fmt/format.h>

#include <atomic>
#include <future>
#include <map>

#include "base/filter.h"
#include "base/text.h"
#include "base/version.h"
#include "daemon/build_calls.h"
#include "daemon/calls.h"
#include "daemon/control_messages.h"
#include "daemon/services.h"
#include "session/tunnel.h"
#include "wire/control.grpc.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1;
using Context = grpc::CallbackServerContext;

// Clients correct their clocks by it.
void send_timestamp(Context* context) { context->AddInitialMetadata(kTimestampField, current_timestamp()); }

http2::Fields fields_of(const Context& context) {
  http2::Fields fields;
  for (const auto& [name, value] : context.client_metadata()) {
    fields.emplace_back(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  return fields;
}

// The frames of a build's status, through gRPC's library. Owns itself; the feed's outlet knows it.
class StatusReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  StatusReactor() : feed_(std::make_shared<StatusFeed>(std::make_unique<Outlet>(*this))) {}
  const std::shared_ptr<StatusFeed>& feed() const { return feed_; }

  void OnWriteDone(bool sent) override {
    const std::shared_ptr<StatusFeed> feed = feed_;
    writing_ = false;
    sent ? feed->go_on() : feed->cancel();
  }
  void OnCancel() override {
    const std::shared_ptr<StatusFeed> feed = feed_;
    feed->cancel();
  }
  void OnDone() override { delete this; }

 private:
  class Outlet final : public StatusOutlet {
   public:
    explicit Outlet(StatusReactor& reactor) : reactor_(reactor) {}
    bool writable() override { return !reactor_.writing_; }
    void write(std::string frame) override {
      grpc::Slice slice(frame);
      reactor_.buffer_ = grpc::ByteBuffer(&slice, 1);
      reactor_.writing_ = true;
      reactor_.StartWrite(&reactor_.buffer_);
    }
    void end(const kiln::Status& status) override { reactor_.Finish(to_grpc(status)); }

   private:
    StatusReactor& reactor_;
  };

  std::shared_ptr<StatusFeed> feed_;
  grpc::ByteBuffer buffer_;
  std::atomic<bool> writing_{false};
};

using Base = api::Control::WithRawCallbackMethod_Session<api::Control::WithRawCallbackMethod_Status<
    api::Control::WithCallbackMethod_Solve<api::Control::WithCallbackMethod_DiskUsage<
        api::Control::WithCallbackMethod_Prune<api::Control::WithCallbackMethod_ListWorkers<
            api::Control::WithCallbackMethod_Info<api::Control::WithCallbackMethod_ListenBuildHistory<
                api::Control::WithCallbackMethod_UpdateBuildHistory<api::Control::Service>>>>>>>>>;

class ControlService final : public ControlServer, private Base {
 public:
  explicit ControlService(const ServiceGround& ground) : ground_(ground) {}
  grpc::Service& service() override { return *this; }

  void end_listeners() override {
    std::lock_guard lock(mutex_);
    draining_ = true;
    for (auto& [id, writer] : listeners_) writer->finish(ok());
  }

 private:
  grpc::ServerUnaryReactor* Solve(Context* context, const api::SolveRequest* in, api::SolveResponse* out) override {
    auto* call = new LaterCall("Solve");
    begin_solve(ground_, *in, fields_of(*context), call->stop_token(), [call, out](Result<SolveResponse> response) {
      if (response.ok()) to_message(*response, *out);
      call->finish(response.status());
    });
    return call;
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Status(Context* context, const grpc::ByteBuffer* in) override {
    send_timestamp(context);
    auto* stream = new StatusReactor();
    api::StatusRequest request;
    grpc::ByteBuffer copy(*in);
    if (!grpc::SerializationTraits<api::StatusRequest>::Deserialize(&copy, &request).ok()) {
      stream->feed()->fail(user_error(Code::kInvalidArgument, "the request does not parse"));
    } else {
      begin_status(ground_, request.ref(), stream->feed());
    }
    return stream;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(Context* context) override {
    return session::serve_session(*ground_.sessions, context);
  }

  grpc::ServerUnaryReactor* DiskUsage(Context*, const api::DiskUsageRequest* in, api::DiskUsageResponse* out) override {
    return new PooledCall(*ground_.pool, "DiskUsage", [this, in, out](std::stop_token stop) -> kiln::Status {
      ground_.history->await_endings();  // what they still hold is nobody's any more
      const std::vector<std::string> filters(in->filter().begin(), in->filter().end());
      KILN_RETURN_IF_ERROR(annotate(Filter::parse_any(filters).status(),
                                    fmt::format("failed to parse diskusage filters [{}]", join(filters, " "))));
      KILN_ASSIGN_OR_RETURN(std::vector<store::Usage> usage,
                            ground_.engine->usage(filters, Duration(in->agelimit()), stop));
      for (const store::Usage& one : usage) to_message(one, *out->add_record());
      return ok();
    });
  }

  grpc::ServerWriteReactor<api::UsageRecord>* Prune(Context*, const api::PruneRequest* in) override {
    auto* writer = new QueuedWriter<api::UsageRecord>();
    ground_.pool->submit([this, writer, options = from_message(*in)] {
      kiln::Status status = guarded([&]() -> kiln::Status {
        const kiln::Status parsed = Filter::parse_any(options.filters).status();
        if (!parsed.ok())
          return annotate(parsed, fmt::format("failed to parse prune filters [{}]", join(options.filters, " ")));
        ground_.history->await_endings();
        return ground_.engine->prune(
            options,
            [&](const store::Usage& usage) {
              api::UsageRecord record;
              to_message(usage, record);
              writer->push(std::move(record));
            },
            writer->stop_token());
      });
      log_failure("Prune", status);
      writer->finish(status);
    });
    return writer;
  }

  grpc::ServerUnaryReactor* ListWorkers(Context*, const api::ListWorkersRequest* in,
                                        api::ListWorkersResponse* out) override {
    return new PooledCall(*ground_.pool, "ListWorkers", [this, in, out](std::stop_token) -> kiln::Status {
      KILN_ASSIGN_OR_RETURN(Filter filter, Filter::parse_any({in->filter().begin(), in->filter().end()}));
      const frontend::WorkerInfo worker = ground_.engine->worker();
      const bool shown = filter.matches([&](std::span<const std::string> path) -> std::optional<std::string> {
        if (path.size() == 1 && path[0] == "id") return worker.id;
        if (path.size() < 2 || path[0] != "labels") return std::nullopt;
        std::string name = path[1];
        for (std::size_t i = 2; i < path.size(); ++i) name += "." + path[i];
        auto it = worker.labels.find(name);
        return it == worker.labels.end() ? std::nullopt : std::optional(it->second);
      });
      if (shown) to_message(worker, ground_.engine->gc_policy(), *out->add_record());
      return ok();
    });
  }

  grpc::ServerUnaryReactor* Info(Context* context, const api::InfoRequest*, api::InfoResponse* out) override {
    fill_version(*out->mutable_buildkitversion());
    return answer(context, ok());
  }

  grpc::ServerWriteReactor<api::BuildHistoryEvent>* ListenBuildHistory(Context* context,
                                                                       const api::BuildHistoryRequest* in) override {
    send_timestamp(context);
    auto* writer = new QueuedWriter<api::BuildHistoryEvent>();
    writer->finish_on_cancel();
    std::uint64_t id = 0;
    {
      std::lock_guard lock(mutex_);
      id = next_listener_++;
      listeners_.emplace(id, writer);
      if (draining_) writer->finish(ok());
    }
    auto subscription = std::make_shared<std::uint64_t>(0);
    if (!in->earlyexit()) {
      *subscription = ground_.history->subscribe(in->ref(), [writer](const history::Event& event) {
        api::BuildHistoryEvent message;
        to_message(event, message);
        writer->push(std::move(message));
      });
    }
    // The listing and the stream end separately; whoever is last lets go of the writer.
    auto listing = std::make_shared<std::promise<void>>();
    writer->set_on_done([this, id, subscription, listed = listing->get_future().share()] {
      if (*subscription != 0) ground_.history->unsubscribe(*subscription);
      listed.wait();
      std::lock_guard lock(mutex_);
      listeners_.erase(id);
    });
    history::ListOptions options{in->ref(), in->activeonly(), {in->filter().begin(), in->filter().end()}, in->limit()};
    ground_.pool->submit([this, writer, listing, options = std::move(options), early = in->earlyexit()] {
      kiln::Status status = guarded([&]() -> kiln::Status {
        KILN_ASSIGN_OR_RETURN(std::vector<history::Event> events, ground_.history->list(options));
        for (const history::Event& event : events) {
          api::BuildHistoryEvent message;
          to_message(event, message);
          writer->push(std::move(message));
        }
        return ok();
      });
      log_failure("ListenBuildHistory", status);
      if (early || !status.ok()) writer->finish(status);
      listing->set_value();
    });
    return writer;
  }

  grpc::ServerUnaryReactor* UpdateBuildHistory(Context*, const api::UpdateBuildHistoryRequest* in,
                                               api::UpdateBuildHistoryResponse*) override {
    return new PooledCall(*ground_.pool, "UpdateBuildHistory", [this, in](std::stop_token) -> kiln::Status {
      if (in->delete_()) {
        (void)ground_.history->finalize(in->ref());
        return ground_.history->remove(in->ref());
      }
      if (in->finalize()) return ground_.history->finalize(in->ref());
      return ground_.history->set_pinned(in->ref(), in->pinned());
    });
  }

  ServiceGround ground_;
  std::mutex mutex_;
  std::map<std::uint64_t, QueuedWriter<api::BuildHistoryEvent>*> listeners_;
  std::uint64_t next_listener_ = 1;
  bool draining_ = false;
};

}  // namespace

std::unique_ptr<ControlServer> make_control_service(const ServiceGround& ground) {
  return std::make_unique<ControlService>(ground);
}

}  // namespace kiln::daemon
