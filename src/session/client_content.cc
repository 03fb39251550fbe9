#include "session/client_content.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/timestamp.h"
#include "session/internal/call.h"
#include "wire/content.pb.h"

namespace kiln::session {
namespace {

namespace api = containerd::services::content::v1;

constexpr std::size_t kMessageBytes = 1 << 20;

std::string method(const char* name) { return fmt::format("/containerd.services.content.v1.Content/{}", name); }

internal::CallOptions options_for(const std::string& store_id, std::stop_token stop) {
  return {{{"buildkit-attachable-store-id", store_id}}, {}, std::move(stop)};
}

content::BlobInfo info_of(const api::Info& info) {
  content::BlobInfo out;
  out.digest = Digest::trusted(info.digest());
  out.size = info.size();
  out.created = timestamp(info.created_at().seconds(), info.created_at().nanos());
  out.labels.insert(info.labels().begin(), info.labels().end());
  return out;
}

class RemoteBlob final : public ByteSource {
 public:
  RemoteBlob(std::shared_ptr<Session> session, const std::string& store_id, const api::ReadContentRequest& request,
             std::stop_token stop)
      : session_(std::move(session)), call_(*session_, method("Read").c_str(), options_for(store_id, std::move(stop))) {
    call_.write(request.SerializeAsString(), {}, internal::MessagePipe::Flush::kLater);
    call_.writes_done();
  }

  // The first message, so that absence is known at once.
  Status begin() { return fill(); }

  Result<std::size_t> read(std::span<char> buffer) override {
    while (at_ == message_.data().size() && !ended_) KILN_RETURN_IF_ERROR(fill());
    if (ended_) {
      if (!ending_.ok()) return ending_;
      return 0;
    }
    std::size_t count = std::min(buffer.size(), message_.data().size() - at_);
    std::memcpy(buffer.data(), message_.data().data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  Status fill() {
    at_ = 0;
    message_.clear_data();
    if (call_.read(pieces_)) return internal::parse_message(pieces_, message_);
    ended_ = true;
    ending_ = call_.finish();
    return ending_;
  }

  std::shared_ptr<Session> session_;
  internal::TunnelCall call_;
  internal::Pieces pieces_;
  api::ReadContentResponse message_;
  std::size_t at_ = 0;
  bool ended_ = false;
  Status ending_;
};

// Requests and answers in turn, as the client's store wants it.
class RemoteWriter final : public content::BlobWriter {
 public:
  RemoteWriter(std::shared_ptr<Session> session, const std::string& store_id, content::Descriptor expected,
               std::stop_token stop)
      : session_(std::move(session)),
        call_(*session_, method("Write").c_str(), options_for(store_id, std::move(stop))),
        expected_(std::move(expected)) {
    buffer_.reserve(kMessageBytes);
  }

  Status begin(const std::string& ref) {
    api::WriteContentRequest request;
    request.set_action(api::STAT);
    request.set_ref(ref);
    request.set_total(expected_.size);
    request.set_expected(expected_.digest.str());
    api::WriteContentResponse response;
    Status status = ask(request, response);
    if (status.code() == Code::kAlreadyExists) {
      exists_ = true;
      return ok();
    }
    return status;
  }

  Status write(std::string_view bytes) override {
    written_ += static_cast<std::int64_t>(bytes.size());
    if (exists_) return ok();
    while (!bytes.empty()) {
      std::size_t count = std::min(bytes.size(), kMessageBytes - buffer_.size());
      buffer_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (buffer_.size() == kMessageBytes) KILN_RETURN_IF_ERROR(send());
    }
    return ok();
  }

  std::int64_t written() const override { return written_; }

  Result<content::BlobInfo> commit(const content::CommitOptions& options) override {
    content::BlobInfo info;
    info.digest = options.digest.empty() ? expected_.digest : options.digest;
    info.size = written_;
    info.labels = options.labels;
    if (exists_) return info;
    if (!buffer_.empty()) KILN_RETURN_IF_ERROR(send());
    api::WriteContentRequest request;
    request.set_action(api::COMMIT);
    request.set_offset(sent_);
    request.set_total(options.size >= 0 ? options.size : written_);
    request.set_expected(info.digest.str());
    request.mutable_labels()->insert(options.labels.begin(), options.labels.end());
    api::WriteContentResponse response;
    Status status = ask(request, response);
    if (status.code() == Code::kAlreadyExists) return info;
    KILN_RETURN_IF_ERROR(status);
    if (!response.digest().empty()) info.digest = Digest::trusted(response.digest());
    call_.writes_done();
    KILN_RETURN_IF_ERROR(finish());
    return info;
  }

 private:
  Status send() {
    api::WriteContentRequest request;
    request.set_action(api::WRITE);
    // Offset zero says nothing; the store would cut what it has.
    request.set_offset(sent_);
    sent_ += static_cast<std::int64_t>(buffer_.size());
    request.set_data(std::exchange(buffer_, {}));
    buffer_.reserve(kMessageBytes);
    api::WriteContentResponse response;
    KILN_RETURN_IF_ERROR(ask(request, response));
    if (response.offset() != sent_) {
      return peer_error(Code::kDataLoss, fmt::format("the client has {} bytes of {}", response.offset(), sent_));
    }
    return ok();
  }

  Status ask(const api::WriteContentRequest& request, api::WriteContentResponse& response) {
    if (!ended_ && call_.write(request.SerializeAsString(), {}, internal::MessagePipe::Flush::kNow) &&
        call_.read(pieces_)) {
      return internal::parse_message(pieces_, response);
    }
    Status status = finish();
    return status.ok() ? peer_error(Code::kAborted, "the client ended the write of a blob") : status;
  }

  Status finish() {
    if (ended_) return ending_;
    ended_ = true;
    ending_ = call_.finish();
    return ending_;
  }

  std::shared_ptr<Session> session_;
  internal::TunnelCall call_;
  internal::Pieces pieces_;
  content::Descriptor expected_;
  std::string buffer_;
  std::int64_t written_ = 0, sent_ = 0;
  bool exists_ = false;
  bool ended_ = false;
  Status ending_;
};

// The named session, or else the first of the group for which `use` succeeds.
Status with_session(const SessionGroup& group, const std::string& id, std::stop_token stop,
                    const std::function<Status(const std::shared_ptr<Session>&)>& use) {
  if (!id.empty()) {
    Result<std::shared_ptr<Session>> session = group.get(id, stop);
    if (session.ok()) return use(*session);
    if (is_cancelled(session.status())) return session.status();
  }
  return group.any(stop, [&](Session& asked) -> Status {
    KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group.get(asked.id(), stop));
    return use(session);
  });
}

}  // namespace

ClientContent::ClientContent(SessionGroup group, std::string session_id, std::string store_id)
    : group_(std::move(group)), session_id_(std::move(session_id)), store_id_(std::move(store_id)) {}

Result<std::unique_ptr<ByteSource>> ClientContent::open(const content::Descriptor& blob, std::int64_t offset,
                                                        std::stop_token stop) {
  std::unique_ptr<RemoteBlob> found;
  KILN_RETURN_IF_ERROR(with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) -> Status {
    api::ReadContentRequest request;
    request.set_digest(blob.digest.str());
    request.set_offset(offset);
    auto source = std::make_unique<RemoteBlob>(session, store_id_, request, stop);
    KILN_RETURN_IF_ERROR(source->begin());
    found = std::move(source);
    return ok();
  }));
  return std::unique_ptr<ByteSource>(std::move(found));
}

Result<std::optional<content::BlobInfo>> ClientContent::info(const Digest& digest, std::stop_token stop) {
  api::InfoRequest request;
  api::InfoResponse response;
  request.set_digest(digest.str());
  Status status = with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) {
    return internal::ask(*session, method("Info").c_str(), options_for(store_id_, stop), request, response);
  });
  if (status.code() == Code::kNotFound) return std::nullopt;
  KILN_RETURN_IF_ERROR(status);
  return info_of(response.info());
}

Result<std::unique_ptr<content::BlobWriter>> ClientContent::ingest(const std::string& ref,
                                                                   const content::Descriptor& expected,
                                                                   std::stop_token stop) {
  std::unique_ptr<RemoteWriter> found;
  KILN_RETURN_IF_ERROR(with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) -> Status {
    auto writer = std::make_unique<RemoteWriter>(session, store_id_, expected, stop);
    KILN_RETURN_IF_ERROR(writer->begin(ref));
    found = std::move(writer);
    return ok();
  }));
  return std::unique_ptr<content::BlobWriter>(std::move(found));
}

Status ClientContent::set_labels(const Digest& digest, const content::StringMap& labels, std::stop_token stop) {
  api::UpdateRequest request;
  api::UpdateResponse response;
  request.mutable_info()->set_digest(digest.str());
  for (const auto& [key, value] : labels) {
    (*request.mutable_info()->mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels." + key);
  }
  return with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) {
    return internal::ask(*session, method("Update").c_str(), options_for(store_id_, stop), request, response);
  });
}

Status ClientContent::list(const std::function<Status(const content::BlobInfo&)>& visit, std::stop_token stop) {
  return with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) -> Status {
    internal::TunnelCall call(*session, method("List").c_str(), options_for(store_id_, stop));
    call.write(api::ListContentRequest().SerializeAsString(), {}, internal::MessagePipe::Flush::kLater);
    call.writes_done();
    internal::Pieces pieces;
    api::ListContentResponse batch;
    while (call.read(pieces)) {
      KILN_RETURN_IF_ERROR(internal::parse_message(pieces, batch));
      for (const api::Info& info : batch.info()) KILN_RETURN_IF_ERROR(visit(info_of(info)));
    }
    return call.finish();
  });
}

Status ClientContent::remove(const Digest& digest, std::stop_token stop) {
  api::DeleteContentRequest request;
  google::protobuf::Empty response;
  request.set_digest(digest.str());
  return with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) {
    return internal::ask(*session, method("Delete").c_str(), options_for(store_id_, stop), request, response);
  });
}

Status ClientContent::abort(const std::string& ref, std::stop_token stop) {
  api::AbortRequest request;
  google::protobuf::Empty response;
  request.set_ref(ref);
  return with_session(group_, session_id_, stop, [&](const std::shared_ptr<Session>& session) {
    return internal::ask(*session, method("Abort").c_str(), options_for(store_id_, stop), request, response);
  });
}

}  // namespace kiln::session
