#include "session/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "session/internal/call.h"
#include "session/internal/packet.h"

namespace kiln::session {
namespace {

// Bytes of a call's messages, one message in hand.
class PulledUpload final : public ByteSource {
 public:
  PulledUpload(std::shared_ptr<Session> session, const internal::CallOptions& options)
      : session_(std::move(session)), call_(*session_, "/moby.upload.v1.Upload/Pull", options) {}

  // Reads the first message, so that a client without the stream is known at once.
  Status begin() { return fill(); }

  Result<std::size_t> read(std::span<char> buffer) override {
    while (at_ == pieces_.size() && !ended_) KILN_RETURN_IF_ERROR(fill());
    if (at_ == pieces_.size()) {
      if (!ending_.ok()) return ending_;
      return 0;
    }
    std::string_view& piece = pieces_[at_];
    std::size_t count = std::min(buffer.size(), piece.size());
    std::memcpy(buffer.data(), piece.data(), count);
    piece.remove_prefix(count);
    if (piece.empty()) ++at_;
    return count;
  }

 private:
  Status fill() {
    at_ = 0;
    if (!call_.read(pieces_)) {
      pieces_.clear();
      ended_ = true;
      ending_ = call_.finish();
      return ending_;
    }
    return internal::bytes_of_message(pieces_);
  }

  std::shared_ptr<Session> session_;
  internal::TunnelCall call_;
  internal::Pieces pieces_;
  std::size_t at_ = 0;
  bool ended_ = false;
  Status ending_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> pull_upload(const SessionGroup& group, const std::string& url,
                                                std::stop_token stop) {
  std::size_t scheme = url.find("://");
  std::string rest = scheme == std::string::npos ? url : url.substr(scheme + 3);
  std::size_t slash = rest.find('/');
  internal::CallOptions options;
  options.stop = stop;
  options.metadata = {{"urlpath", slash == std::string::npos ? "" : rest.substr(slash)},
                      {"urlhost", rest.substr(0, slash)}};
  std::unique_ptr<PulledUpload> found;
  KILN_RETURN_IF_ERROR(group.any(stop, [&](Session& asked) -> Status {
    KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group.get(asked.id(), stop));
    auto upload = std::make_unique<PulledUpload>(std::move(session), options);
    KILN_RETURN_IF_ERROR(upload->begin());
    found = std::move(upload);
    return ok();
  }));
  return std::unique_ptr<ByteSource>(std::move(found));
}

}  // namespace kiln::session
