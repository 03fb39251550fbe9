#include <fmt/format.h>

#include <algorithm>

#include "session/internal/serve.h"
#include "wire/content.grpc.pb.h"

namespace kiln::session::internal {
namespace {

namespace api = containerd::services::content::v1;
using content::BlobInfo;
using content::BlobStore;

void put_time(Time time, google::protobuf::Timestamp* out) {
  auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  out->set_seconds(since / 1'000'000'000);
  out->set_nanos(static_cast<int>(since % 1'000'000'000));
}

void put_info(const BlobInfo& info, api::Info* out) {
  out->set_digest(info.digest.str());
  out->set_size(info.size);
  put_time(info.created, out->mutable_created_at());
  put_time(info.created, out->mutable_updated_at());
  out->mutable_labels()->insert(info.labels.begin(), info.labels.end());
}

Result<BlobInfo> existing(BlobStore& store, const std::string& text) {
  KILN_ASSIGN_OR_RETURN(Digest digest, Digest::parse(text));
  KILN_ASSIGN_OR_RETURN(std::optional<BlobInfo> info, store.info(digest));
  if (!info) return user_error(Code::kNotFound, fmt::format("content {}: not found", text));
  return *info;
}

// One write session: stat, writes, commit. An ingest cannot be resumed; it starts at zero.
class WriteSession {
 public:
  using Stream = grpc::ServerReaderWriter<api::WriteContentResponse, api::WriteContentRequest>;
  WriteSession(BlobStore& store, Stream& stream) : store_(store), stream_(stream) {}

  Status run() {
    api::WriteContentRequest request;
    if (!stream_.Read(&request)) return ok();
    if (request.ref().empty()) return user_error(Code::kInvalidArgument, "first message must have a reference");
    do {
      api::WriteContentResponse response;
      KILN_RETURN_IF_ERROR(step(request, response));
      if (!stream_.Write(response)) return cancelled();
      if (request.action() == api::COMMIT) return ok();
    } while (stream_.Read(&request));
    return ok();
  }

 private:
  Status step(const api::WriteContentRequest& request, api::WriteContentResponse& response) {
    if (!request.expected().empty()) {
      KILN_ASSIGN_OR_RETURN(expected_, Digest::parse(request.expected()));
      KILN_ASSIGN_OR_RETURN(std::optional<BlobInfo> info, store_.info(expected_));
      if (info) {
        return user_error(Code::kAlreadyExists, fmt::format("blob with expected digest {} exists", expected_.str()));
      }
    }
    if (request.total() > 0) total_ = request.total();
    if (!writer_) {
      KILN_ASSIGN_OR_RETURN(writer_, store_.ingest(expected_.empty() ? "sha256" : expected_.algorithm()));
    }
    response.set_action(request.action());
    if (request.action() != api::STAT) KILN_RETURN_IF_ERROR(write(request));
    response.set_offset(writer_->written());
    response.set_total(total_);
    if (request.action() == api::COMMIT) {
      content::CommitOptions options{expected_, total_ > 0 ? total_ : -1, {}};
      options.labels.insert(request.labels().begin(), request.labels().end());
      KILN_ASSIGN_OR_RETURN(BlobInfo info, writer_->commit(options));
      response.set_digest(info.digest.str());
    }
    return ok();
  }

  Status write(const api::WriteContentRequest& request) {
    std::int64_t at = writer_->written();
    if (request.offset() > 0 && request.offset() != at) {
      return user_error(Code::kOutOfRange,
                        fmt::format("write @{} must occur at current offset {}", request.offset(), at));
    }
    if (request.offset() == 0 && at > 0) {
      KILN_ASSIGN_OR_RETURN(writer_, store_.ingest(expected_.empty() ? "sha256" : expected_.algorithm()));
    }
    return request.data().empty() ? ok() : writer_->write(request.data());
  }

  BlobStore& store_;
  Stream& stream_;
  std::unique_ptr<content::BlobWriter> writer_;
  Digest expected_;
  std::int64_t total_ = 0;
};

class Contents final : public api::Content::Service {
 public:
  explicit Contents(const Offers& offers) : offers_(offers) {}

  grpc::Status Info(grpc::ServerContext* context, const api::InfoRequest* request,
                    api::InfoResponse* response) override {
    return with_store(*context, [&](BlobStore& store) -> kiln::Status {
      KILN_ASSIGN_OR_RETURN(BlobInfo info, existing(store, request->digest()));
      put_info(info, response->mutable_info());
      return ok();
    });
  }

  grpc::Status Update(grpc::ServerContext* context, const api::UpdateRequest* request,
                      api::UpdateResponse* response) override {
    return with_store(*context, [&](BlobStore& store) -> kiln::Status {
      KILN_ASSIGN_OR_RETURN(BlobInfo info, existing(store, request->info().digest()));
      content::StringMap labels(request->info().labels().begin(), request->info().labels().end());
      for (const auto& [key, value] : info.labels) labels.emplace(key, "");  // what is not named goes
      if (request->update_mask().paths_size() > 0) labels = named_labels(*request);
      KILN_RETURN_IF_ERROR(store.set_labels(info.digest, labels));
      KILN_ASSIGN_OR_RETURN(info, existing(store, request->info().digest()));
      put_info(info, response->mutable_info());
      return ok();
    });
  }

  grpc::Status List(grpc::ServerContext* context, const api::ListContentRequest*,
                    grpc::ServerWriter<api::ListContentResponse>* writer) override {
    return with_store(*context, [&](BlobStore& store) -> kiln::Status {
      api::ListContentResponse batch;
      auto send = [&](const BlobInfo& info) {
        put_info(info, batch.add_info());
        if (batch.info_size() < 100) return ok();
        bool sent = writer->Write(batch);
        batch.clear_info();
        return sent ? ok() : cancelled();
      };
      KILN_RETURN_IF_ERROR(store.walk(send));
      return batch.info_size() == 0 || writer->Write(batch) ? ok() : cancelled();
    });
  }

  grpc::Status Delete(grpc::ServerContext* context, const api::DeleteContentRequest* request,
                      google::protobuf::Empty*) override {
    return with_store(*context, [&](BlobStore& store) -> kiln::Status {
      KILN_ASSIGN_OR_RETURN(BlobInfo info, existing(store, request->digest()));
      return store.remove(info.digest);
    });
  }

  grpc::Status Read(grpc::ServerContext* context, const api::ReadContentRequest* request,
                    grpc::ServerWriter<api::ReadContentResponse>* writer) override {
    return with_store(*context, [&](BlobStore& store) { return send_blob(store, *request, *writer); });
  }

  grpc::Status Status(grpc::ServerContext* context, const api::StatusRequest* request,
                      api::StatusResponse*) override {
    return with_store(*context, [&](BlobStore&) {
      return user_error(Code::kNotFound, fmt::format("could not get status for ref \"{}\": not found", request->ref()));
    });
  }
  grpc::Status ListStatuses(grpc::ServerContext* context, const api::ListStatusesRequest*,
                            api::ListStatusesResponse*) override {
    return with_store(*context, [](BlobStore&) { return ok(); });
  }
  grpc::Status Write(grpc::ServerContext* context, WriteSession::Stream* stream) override {
    return with_store(*context, [&](BlobStore& store) { return WriteSession(store, *stream).run(); });
  }
  grpc::Status Abort(grpc::ServerContext* context, const api::AbortRequest*, google::protobuf::Empty*) override {
    return with_store(*context, [](BlobStore&) { return ok(); });  // an ingest goes with its call
  }

 private:
  template <typename Use>
  grpc::Status with_store(const grpc::ServerContext& context, Use use) {
    std::string id = header_of(context, "buildkit-attachable-store-id");
    auto store = offers_.contents.find(id);
    if (store == offers_.contents.end()) {
      return {id.empty() ? grpc::StatusCode::INVALID_ARGUMENT : grpc::StatusCode::NOT_FOUND,
              fmt::format("unknown store {}", id)};
    }
    return to_grpc(use(*store->second));
  }

  // Only "labels" and "labels.<key>" can be changed.
  static content::StringMap named_labels(const api::UpdateRequest& request) {
    content::StringMap out;
    const auto& labels = request.info().labels();
    for (const std::string& path : request.update_mask().paths()) {
      if (path == "labels") out.insert(labels.begin(), labels.end());
      if (path.rfind("labels.", 0) != 0) continue;
      auto it = labels.find(path.substr(7));
      out[path.substr(7)] = it == labels.end() ? "" : it->second;
    }
    return out;
  }

  static kiln::Status send_blob(BlobStore& store, const api::ReadContentRequest& request,
                                grpc::ServerWriter<api::ReadContentResponse>& writer) {
    KILN_ASSIGN_OR_RETURN(BlobInfo info, existing(store, request.digest()));
    std::int64_t offset = std::max<std::int64_t>(request.offset(), 0);
    if (offset > info.size) {
      return user_error(Code::kOutOfRange, fmt::format("read past object length {} bytes", info.size));
    }
    // Readers ask for as much as their buffer holds: what is there is the answer.
    std::int64_t left = info.size - offset;
    if (request.size() > 0) left = std::min<std::int64_t>(left, request.size());
    KILN_ASSIGN_OR_RETURN(auto reader, store.open(info.digest, offset));
    api::ReadContentResponse response;
    while (left > 0) {
      std::string* data = response.mutable_data();
      data->resize(static_cast<std::size_t>(std::min<std::int64_t>(left, 1 << 20)));
      KILN_ASSIGN_OR_RETURN(std::size_t got, reader->read({data->data(), data->size()}));
      if (got == 0) return environment_error(Code::kDataLoss, fmt::format("blob {} is cut short", info.digest.str()));
      data->resize(got);
      response.set_offset(offset);
      if (!writer.Write(response)) return cancelled();
      offset += static_cast<std::int64_t>(got);
      left -= static_cast<std::int64_t>(got);
    }
    return ok();
  }

  const Offers& offers_;
};

}  // namespace

Served serve_contents(const Offers& offers) {
  if (offers.contents.empty()) return {};
  Served out{std::make_unique<Contents>(offers), {}};
  for (const char* name : {"Info", "Update", "List", "Delete", "Read", "Status", "ListStatuses", "Write", "Abort"}) {
    out.methods.push_back(fmt::format("/containerd.services.content.v1.Content/{}", name));
  }
  return out;
}

}  // namespace kiln::session::internal
