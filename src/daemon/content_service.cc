#include <fmt/format.h>

#include "base/filter.h"
#include "daemon/calls.h"
#include "daemon/services.h"
#include "daemon/status_messages.h"
#include "wire/content.grpc.pb.h"

namespace kiln::daemon {
namespace {

namespace api = containerd::services::content::v1;
using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

constexpr std::size_t kReadBytes = 1024 * 1024;
constexpr int kListBatch = 100;

void to_message(const content::BlobInfo& info, api::Info& out) {
  out.set_digest(info.digest.str());
  out.set_size(info.size);
  daemon::to_message(info.created, *out.mutable_created_at());
  daemon::to_message(info.created, *out.mutable_updated_at());
  out.mutable_labels()->insert(info.labels.begin(), info.labels.end());
}

Status refused() { return user_error(Code::kUnimplemented, "read-only content store"); }

// Only reading: what the daemon holds is made by builds.
class ContentService final : public api::Content::CallbackService {
 public:
  ContentService(Pool& pool, content::BlobStore& first, content::BlobStore& second)
      : pool_(pool), first_(first), second_(second) {}

 private:
  Result<std::pair<content::BlobStore*, content::BlobInfo>> find(const std::string& text) {
    KILN_ASSIGN_OR_RETURN(Digest digest, Digest::parse(text));
    for (content::BlobStore* store : {&first_, &second_}) {
      KILN_ASSIGN_OR_RETURN(std::optional<content::BlobInfo> info, store->info(digest));
      if (info) return std::pair(store, std::move(*info));
    }
    return user_error(Code::kNotFound, fmt::format("content {}: not found", text));
  }

  Unary* Info(Context*, const api::InfoRequest* in, api::InfoResponse* out) override {
    return new PooledCall(pool_, "Content.Info", [this, in, out](std::stop_token) -> kiln::Status {
      KILN_ASSIGN_OR_RETURN(auto found, find(in->digest()));
      to_message(found.second, *out->mutable_info());
      return ok();
    });
  }

  grpc::ServerWriteReactor<api::ReadContentResponse>* Read(Context*, const api::ReadContentRequest* in) override {
    // One message at a time: a blob never lies in memory.
    class Reader final : public grpc::ServerWriteReactor<api::ReadContentResponse> {
     public:
      Reader(ContentService& service, const api::ReadContentRequest& request)
          : service_(service), at_(request.offset()) {
        end_ = request.size() > 0 ? request.offset() + request.size() : -1;
        service_.pool_.submit([this, digest = request.digest()] { open(digest); });
      }
      void OnWriteDone(bool sent) override {
        if (!sent) return Finish(grpc::Status::CANCELLED);
        service_.pool_.submit([this] { next(); });
      }
      void OnDone() override { delete this; }

     private:
      void open(const std::string& digest) {
        const kiln::Status status = guarded([&]() -> kiln::Status {
          KILN_ASSIGN_OR_RETURN(auto found, service_.find(digest));
          const std::int64_t size = found.second.size;
          if (at_ < 0 || at_ > size) {
            return user_error(Code::kOutOfRange, fmt::format("read past object length {} bytes", size));
          }
          if (end_ < 0 || end_ > size) end_ = size;
          KILN_ASSIGN_OR_RETURN(blob_, found.first->open(found.second.digest));
          return ok();
        });
        if (!status.ok()) return Finish(to_grpc(status));
        next();
      }
      void next() {
        if (at_ >= end_) return Finish(grpc::Status::OK);
        std::string& data = *message_.mutable_data();
        data.resize(std::min<std::size_t>(kReadBytes, static_cast<std::size_t>(end_ - at_)));
        auto got = blob_->read_at(at_, data);
        if (got.ok() && *got == 0) got = environment_error(Code::kDataLoss, "the blob is shorter than its size");
        if (!got.ok()) return Finish(to_grpc(got.status()));
        data.resize(*got);
        message_.set_offset(at_);
        at_ += static_cast<std::int64_t>(*got);
        StartWrite(&message_);
      }

      ContentService& service_;
      std::unique_ptr<content::BlobReader> blob_;
      api::ReadContentResponse message_;
      std::int64_t at_ = 0;
      std::int64_t end_ = -1;
    };
    return new Reader(*this, *in);
  }

  grpc::ServerWriteReactor<api::ListContentResponse>* List(Context*, const api::ListContentRequest* in) override {
    auto* writer = new QueuedWriter<api::ListContentResponse>();
    pool_.submit([this, writer, filters = std::vector<std::string>(in->filters().begin(), in->filters().end())] {
      const kiln::Status status = guarded([&] { return list(filters, *writer); });
      log_failure("Content.List", status);
      writer->finish(status);
    });
    return writer;
  }

  kiln::Status list(const std::vector<std::string>& filters, QueuedWriter<api::ListContentResponse>& writer) {
    KILN_ASSIGN_OR_RETURN(Filter filter, Filter::parse_any(filters));
    api::ListContentResponse batch;
    for (content::BlobStore* store : {&first_, &second_}) {
      KILN_RETURN_IF_ERROR(store->walk([&](const content::BlobInfo& info) -> kiln::Status {
        if (writer.stop_token().stop_requested()) return cancelled();
        const bool shown = filter.matches([&](std::span<const std::string> path) -> std::optional<std::string> {
          if (path[0] == "digest") return info.digest.str();
          if (path[0] == "size") return std::to_string(info.size);
          if (path[0] != "labels" || path.size() < 2) return std::nullopt;
          auto it = info.labels.find(path[1]);
          return it == info.labels.end() ? std::nullopt : std::optional(it->second);
        });
        if (shown) to_message(info, *batch.add_info());
        if (batch.info_size() >= kListBatch) writer.push(std::exchange(batch, {}));
        return ok();
      }));
    }
    if (batch.info_size() > 0) writer.push(std::move(batch));
    return ok();
  }

  Unary* Status(Context* context, const api::StatusRequest* in, api::StatusResponse*) override {
    return answer(context, user_error(Code::kNotFound, fmt::format("ingest {}: not found", in->ref())));
  }
  Unary* ListStatuses(Context* context, const api::ListStatusesRequest*, api::ListStatusesResponse*) override {
    return answer(context, ok());
  }
  Unary* Update(Context* context, const api::UpdateRequest*, api::UpdateResponse*) override {
    return answer(context, refused());
  }
  Unary* Delete(Context* context, const api::DeleteContentRequest*, google::protobuf::Empty*) override {
    return answer(context, refused());
  }
  Unary* Abort(Context* context, const api::AbortRequest*, google::protobuf::Empty*) override {
    return answer(context, refused());
  }
  grpc::ServerBidiReactor<api::WriteContentRequest, api::WriteContentResponse>* Write(Context*) override {
    class Refusal final : public grpc::ServerBidiReactor<api::WriteContentRequest, api::WriteContentResponse> {
     public:
      Refusal() { Finish(to_grpc(refused())); }
      void OnDone() override { delete this; }
    };
    return new Refusal();
  }

  Pool& pool_;
  content::BlobStore& first_;
  content::BlobStore& second_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_content_service(Pool& pool, content::BlobStore& first, content::BlobStore& second) {
  return std::make_unique<ContentService>(pool, first, second);
}

}  // namespace kiln::daemon
