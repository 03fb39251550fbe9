#include <fmt/format.h>

#include <algorithm>

#include "session/internal/serve.h"
#include "wire/content.pb.h"

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
  WriteSession(BlobStore& store, MessagePipe& pipe) : store_(store), pipe_(pipe) {}

  Status run() {
    Pieces pieces;
    api::WriteContentRequest request;
    for (bool first = true; pipe_.read(pieces); first = false) {
      KILN_RETURN_IF_ERROR(parse_message(pieces, request));
      if (first && request.ref().empty()) {
        return user_error(Code::kInvalidArgument, "first message must have a reference");
      }
      api::WriteContentResponse response;
      KILN_RETURN_IF_ERROR(step(request, response));
      if (!pipe_.write(response.SerializeAsString(), MessagePipe::Flush::kNow)) return cancelled();
      if (request.action() == api::COMMIT) return ok();
    }
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
  MessagePipe& pipe_;
  std::unique_ptr<content::BlobWriter> writer_;
  Digest expected_;
  std::int64_t total_ = 0;
};

Status update(BlobStore& store, const api::UpdateRequest& request, api::UpdateResponse& response) {
  const auto& wanted = request.info().labels();
  KILN_ASSIGN_OR_RETURN(BlobInfo info, existing(store, request.info().digest()));
  content::StringMap labels(wanted.begin(), wanted.end());
  for (const auto& [key, value] : info.labels) labels.emplace(key, "");  // what is not named goes
  // Only "labels" and "labels.<key>" can be changed.
  if (request.update_mask().paths_size() > 0) labels.clear();
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "labels") labels.insert(wanted.begin(), wanted.end());
    if (path.rfind("labels.", 0) != 0) continue;
    auto it = wanted.find(path.substr(7));
    labels[path.substr(7)] = it == wanted.end() ? "" : it->second;
  }
  KILN_RETURN_IF_ERROR(store.set_labels(info.digest, labels));
  KILN_ASSIGN_OR_RETURN(info, existing(store, request.info().digest()));
  put_info(info, response.mutable_info());
  return ok();
}

Status list(BlobStore& store, MessagePipe& pipe) {
  api::ListContentResponse batch;
  auto send = [&](const BlobInfo& info) {
    put_info(info, batch.add_info());
    if (batch.info_size() < 100) return ok();
    bool sent = pipe.write(batch.SerializeAsString(), MessagePipe::Flush::kNow);
    batch.clear_info();
    return sent ? ok() : cancelled();
  };
  KILN_RETURN_IF_ERROR(store.walk(send));
  if (batch.info_size() == 0) return ok();
  return pipe.write(batch.SerializeAsString(), MessagePipe::Flush::kNow) ? ok() : cancelled();
}

Status send_blob(BlobStore& store, const api::ReadContentRequest& request, MessagePipe& pipe) {
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
    if (!pipe.write({}, http2::owned(response.SerializeAsString()), MessagePipe::Flush::kNow)) return cancelled();
    offset += static_cast<std::int64_t>(got);
    left -= static_cast<std::int64_t>(got);
  }
  return ok();
}

// The store that a call is about.
Result<BlobStore*> store_of(const Offers& offers, const http2::ServedCall& call) {
  std::string id = header_of(call, "buildkit-attachable-store-id");
  auto store = offers.contents.find(id);
  if (store != offers.contents.end()) return store->second.get();
  return user_error(id.empty() ? Code::kInvalidArgument : Code::kNotFound, fmt::format("unknown store {}", id));
}

template <typename Question, typename Reply, typename Function>
Answer one_answer(const Offers& offers, Function function) {
  return answer_with<Question, Reply>(
      [&offers, function](http2::ServedCall& call, const Question& question, Reply& reply) -> Status {
        KILN_ASSIGN_OR_RETURN(BlobStore * store, store_of(offers, call));
        return function(*store, question, reply);
      });
}

// A question, then many messages.
template <typename Question, typename Function>
Answer many_answers(const Offers& offers, Function function) {
  return answer_stream([&offers, function](http2::ServedCall& call, MessagePipe& pipe) -> Status {
    KILN_ASSIGN_OR_RETURN(BlobStore * store, store_of(offers, call));
    Pieces pieces;
    Question question;
    if (!pipe.read(pieces)) return peer_error(Code::kInternal, "the call ended before its question");
    KILN_RETURN_IF_ERROR(parse_message(pieces, question));
    return function(*store, question, pipe);
  });
}

}  // namespace

Served serve_contents(const Offers& offers) {
  if (offers.contents.empty()) return {};
  using google::protobuf::Empty;
  auto info = [](BlobStore& store, const api::InfoRequest& request, api::InfoResponse& response) -> Status {
    KILN_ASSIGN_OR_RETURN(BlobInfo found, existing(store, request.digest()));
    put_info(found, response.mutable_info());
    return ok();
  };
  auto remove = [](BlobStore& store, const api::DeleteContentRequest& request, Empty&) -> Status {
    KILN_ASSIGN_OR_RETURN(BlobInfo found, existing(store, request.digest()));
    return store.remove(found.digest);
  };
  auto status = [](BlobStore&, const api::StatusRequest& request, api::StatusResponse&) {
    return user_error(Code::kNotFound, fmt::format("could not get status for ref \"{}\": not found", request.ref()));
  };
  auto statuses = [](BlobStore&, const api::ListStatusesRequest&, api::ListStatusesResponse&) { return ok(); };
  auto abort = [](BlobStore&, const api::AbortRequest&, Empty&) { return ok(); };  // an ingest goes with its call
  auto walk = [](BlobStore& store, const api::ListContentRequest&, MessagePipe& pipe) { return list(store, pipe); };
  auto write = [&offers](http2::ServedCall& call, MessagePipe& pipe) -> Status {
    KILN_ASSIGN_OR_RETURN(BlobStore * store, store_of(offers, call));
    return WriteSession(*store, pipe).run();
  };
  auto path = [](const char* name) { return fmt::format("/containerd.services.content.v1.Content/{}", name); };
  return {{path("Info"), one_answer<api::InfoRequest, api::InfoResponse>(offers, info)},
          {path("Update"), one_answer<api::UpdateRequest, api::UpdateResponse>(offers, update)},
          {path("List"), many_answers<api::ListContentRequest>(offers, walk)},
          {path("Delete"), one_answer<api::DeleteContentRequest, Empty>(offers, remove)},
          {path("Read"), many_answers<api::ReadContentRequest>(offers, send_blob)},
          {path("Status"), one_answer<api::StatusRequest, api::StatusResponse>(offers, status)},
          {path("ListStatuses"), one_answer<api::ListStatusesRequest, api::ListStatusesResponse>(offers, statuses)},
          {path("Write"), answer_stream(write)},
          {path("Abort"), one_answer<api::AbortRequest, Empty>(offers, abort)}};
}

}  // namespace kiln::session::internal
