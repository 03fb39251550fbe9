// The services of the client's end, one maker each. A maker gives nothing when there is nothing to
// offer; what is made refers to `offers`, which outlives it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>
#include <grpcpp/impl/service_type.h>

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "session/client_session.h"
#include "session/internal/call.h"
#include "session/internal/poller.h"

namespace kiln::session::internal {

// A service and the method paths that the session announces.
struct Served {
  std::unique_ptr<grpc::Service> service;
  std::vector<std::string> methods;
};

Served serve_health();
Served serve_file_sync(const Offers& offers, std::stop_token stop);
Served serve_file_send(const Offers& offers, std::stop_token stop);
Served serve_auth(const Offers& offers, std::stop_token stop);
Served serve_secrets(const Offers& offers);
Served serve_agents(const Offers& offers, std::shared_ptr<Poller> poller);
Served serve_uploads(const Offers& offers, std::stop_token stop);
Served serve_contents(const Offers& offers);
Served serve_exporters(const Offers& offers);
Served serve_policy(const Offers& offers);

// What two of the services do, whatever carries the call: give a directory's files, and take what an
// exporter makes. `cancel` ends the call from here. Blocking.
inline constexpr const char* kGiveFiles = "/moby.filesync.v1.FileSync/DiffCopy";
inline constexpr const char* kTakeOutput = "/moby.filesync.v1.FileSend/DiffCopy";
using Headers = std::multimap<std::string, std::string>;
Status give_files(const Offers& offers, const Headers& headers, MessagePipe& pipe, const std::function<void()>& cancel,
                  std::stop_token stop);
Status take_output(const Offers& offers, const Headers& headers, MessagePipe& pipe, std::stop_token stop);

// Metadata of a call, keys in lower case.
std::multimap<std::string, std::string> headers_of(const grpc::ServerContextBase& context);
std::string header_of(const grpc::ServerContextBase& context, const std::string& key);

// A call being answered, as messages of bytes.
class ServedPipe final : public MessagePipe {
 public:
  using Stream = grpc::ServerReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
  // The headers go first, alone: a first message that may wait would hold them back for ever.
  explicit ServedPipe(Stream& stream) : stream_(stream) { stream_.SendInitialMetadata(); }
  bool read(grpc::ByteBuffer& message) override { return stream_.Read(&message); }
  bool write(const grpc::ByteBuffer& message, Flush flush) override {
    grpc::WriteOptions options;
    if (flush == Flush::kLater) options.set_buffer_hint();
    return stream_.Write(message, options);
  }

 private:
  Stream& stream_;
};

// Bidirectional methods whose messages stay bytes. One thread a running call.
class RawService final : public grpc::Service {
 public:
  using Handler = std::function<Status(grpc::ServerContext& context, MessagePipe& pipe)>;
  // `method` is a string literal, the whole path.
  void add(const char* method, Handler handler);
};

}  // namespace kiln::session::internal
