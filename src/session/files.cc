#include "session/files.h"

#include <fmt/format.h>

#include "base/patterns.h"
#include "session/internal/direct_call.h"
#include "session/internal/headers.h"
#include "session/internal/tree_receiver.h"

namespace kiln::session {
namespace {

constexpr const char* kDiffCopy = "/moby.filesync.v1.FileSync/DiffCopy";

class SessionFiles final : public FileGiver {
 public:
  explicit SessionFiles(Session& session) : session_(session) {}
  std::string session_id() const override { return session_.id(); }
  std::string shared_key() const override { return session_.shared_key(); }

  Result<SyncOutcome> sync(const FileRequest& request, const SyncTarget& target, std::stop_token stop) override {
    if (!session_.offers(kDiffCopy)) {
      return user_error(Code::kUnimplemented, "no local sources enabled");
    }
    internal::ReceiveOptions options;
    options.differ = request.differ;
    if (request.metadata_only) {
      KILN_ASSIGN_OR_RETURN(PatternMatcher wanted, PatternMatcher::make(request.metadata_exceptions));
      options.metadata_only = [wanted](std::string_view path) { return wanted.matches_or_parent(path); };
    }
    internal::CallOptions call_options;
    call_options.stop = stop;
    internal::add_list(call_options.metadata, "dir-name", {request.name});
    internal::add_list(call_options.metadata, "include-patterns", request.filter.include_patterns);
    internal::add_list(call_options.metadata, "exclude-patterns", request.filter.exclude_patterns);
    internal::add_list(call_options.metadata, "followpaths", request.filter.follow_paths);
    call_options.metadata.emplace_back(internal::kBatchKey, "1");
    std::unique_ptr<internal::ClientCall> call = internal::start_call(session_, kDiffCopy, call_options);
    internal::PacketPipe pipe(*call, call->takes_files() ? internal::Batching::kOn : internal::Batching::kOff);
    Result<SyncOutcome> outcome = internal::receive_tree(pipe, target, options, stop);
    if (outcome.ok()) {
      call->writes_done();
      KILN_RETURN_IF_ERROR(call->finish());
      return outcome;
    }
    if (outcome.status().code() != Code::kUnavailable) return outcome;
    // The stream broke off: the call's own status tells why.
    Status ended = call->finish();
    return ended.ok() ? outcome : Result<SyncOutcome>(ended);
  }

 private:
  Session& session_;
};

// Whether another client may have what this one could not give.
bool is_refusal(const Status& status) {
  return status.code() == Code::kNotFound || status.code() == Code::kUnimplemented ||
         status.code() == Code::kUnavailable ||
         message_of(status).find("failed to negotiate protocol") != std::string_view::npos;
}

class GroupFiles final : public FileAsker {
 public:
  explicit GroupFiles(SessionGroup group) : group_(std::move(group)) {}

  std::string first_session() const override {
    std::vector<std::string> ids = group_.ids();
    return ids.empty() ? "" : ids.front();
  }

  Status with_client(const std::string& session_id, const std::function<Status(FileGiver&)>& use,
                     std::stop_token stop) override {
    if (!session_id.empty()) {
      Result<std::shared_ptr<Session>> session = group_.get(session_id, stop);
      if (session.ok()) {
        SessionFiles files(**session);
        Status used = use(files);
        if (used.ok() || !is_refusal(used)) return used;
      }
      if (stop.stop_requested()) return cancelled();
    }
    return group_.any(stop, [&](Session& session) {
      SessionFiles files(session);
      return use(files);
    });
  }

 private:
  SessionGroup group_;
};

}  // namespace

std::unique_ptr<FileAsker> file_asker(SessionGroup group) { return std::make_unique<GroupFiles>(std::move(group)); }

}  // namespace kiln::session
