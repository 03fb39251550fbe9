#include "session/export_target.h"

#include <fmt/format.h>

#include <algorithm>

#include "session/internal/direct_call.h"
#include "session/internal/packet.h"
#include "session/internal/tree_sender.h"
#include "wire/exporter.pb.h"

namespace kiln::session {
namespace {

namespace proto = moby::exporter::v1;

constexpr const char* kSend = "/moby.filesync.v1.FileSend/DiffCopy";
constexpr const char* kFind = "/moby.exporter.v1.Exporter/FindExporters";
constexpr const char* kFinalize = "/moby.exporter.v1.Exporter/FinalizeExport";
// Receivers take four megabytes a message by default.
constexpr std::size_t kMessageBytes = 1 << 20;
// Of what is not gathered with what follows, which saves copying it.
constexpr std::size_t kLargeBytesMin = 64 * 1024;

class CallSink final : public ExportSink, public host::FileSink {
 public:
  CallSink(std::shared_ptr<Session> session, const internal::CallOptions& options)
      : session_(std::move(session)), call_(internal::start_call(*session_, kSend, options)) {
    buffer_.reserve(kMessageBytes);
  }

  Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      if (buffer_.empty() && bytes.size() >= kLargeBytesMin) {
        std::string_view message = bytes.substr(0, kMessageBytes);
        bytes.remove_prefix(message.size());
        KILN_RETURN_IF_ERROR(send({message, nullptr}));
        continue;
      }
      std::size_t count = std::min(bytes.size(), kMessageBytes - buffer_.size());
      buffer_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (buffer_.size() == kMessageBytes) KILN_RETURN_IF_ERROR(send_buffer());
    }
    return ok();
  }

  bool takes_files() const override { return call_->takes_files(); }
  Status write_file(const host::FileBytes& bytes) override {
    if (!buffer_.empty()) KILN_RETURN_IF_ERROR(send_buffer());
    for (std::uint64_t done = 0; done < bytes.size;) {
      std::uint64_t size = std::min<std::uint64_t>(bytes.size - done, kMessageBytes);
      if (!call_->write_from(internal::bytes_message_head(size), {bytes.file, bytes.offset + done, size}))
        return ended();
      done += size;
    }
    return ok();
  }

  Status close() override {
    if (!buffer_.empty()) KILN_RETURN_IF_ERROR(send_buffer());
    call_->writes_done();
    return annotate(call_->finish(), "write at the client");
  }

 private:
  Status send_buffer() {
    Status sent = send(http2::owned(std::exchange(buffer_, {})));
    buffer_.reserve(kMessageBytes);
    return sent;
  }

  Status send(const internal::Bytes& message) {
    std::string head = internal::bytes_message_head(message.view.size());
    if (call_->write(head, message, internal::MessagePipe::Flush::kNow)) return ok();
    return ended();
  }

  Status ended() {
    Status why = call_->finish();
    if (why.ok()) why = peer_error(Code::kAborted, "the client took no more");
    return annotate(why, "write at the client");
  }

  std::shared_ptr<Session> session_;
  std::unique_ptr<internal::ClientCall> call_;
  std::string buffer_;
};

Status check_offer(Session& session, const char* method) {
  if (session.offers(method)) return ok();
  return user_error(Code::kUnimplemented, fmt::format("method {} not supported by the client", method));
}

}  // namespace

ExportTarget::ExportTarget(SessionGroup group, std::string session_id)
    : group_(std::move(group)), session_id_(std::move(session_id)) {}

Result<std::unique_ptr<ExportSink>> ExportTarget::open_file(int exporter_id,
                                                            const std::map<std::string, std::string>& metadata,
                                                            std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group_.get(session_id_, stop));
  KILN_RETURN_IF_ERROR(check_offer(*session, kSend));
  internal::CallOptions options;
  options.stop = stop;
  for (const auto& [name, value] : metadata) options.metadata.emplace_back("exporter-md-" + name, value);
  options.metadata.emplace_back("buildkit-attachable-exporter-id", std::to_string(exporter_id));
  return std::unique_ptr<ExportSink>(std::make_unique<CallSink>(std::move(session), options));
}

Status ExportTarget::send_tree(FileTree& tree, const TreeExport& wanted, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group_.get(session_id_, stop));
  KILN_RETURN_IF_ERROR(check_offer(*session, kSend));
  internal::CallOptions options;
  options.stop = stop;
  options.metadata.emplace_back("buildkit-attachable-exporter-id", std::to_string(wanted.exporter_id));
  if (wanted.multi_platform_transfer) options.metadata.emplace_back("buildkit-exporter-multi-platform", "1");
  std::unique_ptr<internal::ClientCall> call = internal::start_call(*session, kSend, options);
  internal::PacketPipe pipe(*call, session->batches() ? internal::Batching::kOn : internal::Batching::kOff);
  // Contents are read here: a client with the files open could write them, where its user may.
  internal::SendOptions how{internal::PassFiles::kNo, wanted.progress, [&] { call->cancel(); }};
  Status sent = internal::send_tree(pipe, tree, how, stop);
  if (!sent.ok()) {
    if (sent.code() != Code::kUnavailable) return annotate(sent, "copy files to the client");
    Status ended = call->finish();
    return annotate(ended.ok() || is_cancelled(ended) ? sent : ended, "copy files to the client");
  }
  call->writes_done();
  return annotate(call->finish(), "copy files to the client");
}

bool ExportTarget::offers_exporters(std::stop_token stop) {
  Result<std::shared_ptr<Session>> session = group_.get(session_id_, stop);
  return session.ok() && (*session)->offers(kFind);
}

Result<std::vector<ExporterRequest>> ExportTarget::find_exporters(const std::map<std::string, std::string>& metadata,
                                                                  const std::vector<std::string>& refs,
                                                                  std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group_.get(session_id_, stop));
  KILN_RETURN_IF_ERROR(check_offer(*session, kFind));
  proto::FindExportersRequest request;
  proto::FindExportersResponse response;
  request.mutable_metadata()->insert(metadata.begin(), metadata.end());
  for (const std::string& ref : refs) request.add_refs(ref);
  KILN_RETURN_IF_ERROR(internal::ask(*session, kFind, {{}, std::chrono::seconds(5), stop}, request, response));
  std::vector<ExporterRequest> out;
  for (const auto& one : response.exporters()) {
    out.push_back({one.type(), {one.attrs().begin(), one.attrs().end()}});
  }
  return out;
}

Status ExportTarget::finalize(const std::map<std::string, std::string>& exported, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, group_.get(session_id_, stop));
  proto::FinalizeExportRequest request;
  proto::FinalizeExportResponse response;
  request.mutable_exporter_response()->insert(exported.begin(), exported.end());
  Status status = internal::ask(*session, kFinalize, {{}, {}, stop}, request, response);
  return status.code() == Code::kUnimplemented ? ok() : status;
}

}  // namespace kiln::session
