// Blobs that lie at the client: an OCI layout it offers as image source, or the directory of a local
// cache. Reads, and writes when the client's store takes them.
//
//   ClientContent layout(group, session_id, "oci:base");
//   KILN_ASSIGN_OR_RETURN(auto source, layout.open(descriptor, 0, stop));
//
// Protocol: containerd.services.content.v1.Content, header "buildkit-attachable-store-id".
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "base/stream.h"
#include "content/blob_provider.h"
#include "content/blob_store.h"
#include "session/session.h"

namespace kiln::session {

// Any thread. Every call goes to the session of the id, or, when that is empty or gone, to the first
// of the group that answers.
class ClientContent final : public content::BlobProvider {
 public:
  ClientContent(SessionGroup group, std::string session_id, std::string store_id);

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override;
  Result<std::optional<content::BlobInfo>> info(const Digest& digest, std::stop_token stop);
  // A write under the name `ref`, which a client may show or resume by; commit verifies there. A blob
  // the client has already is committed without writing: write() then drops the bytes.
  Result<std::unique_ptr<content::BlobWriter>> ingest(const std::string& ref, const content::Descriptor& expected,
                                                      std::stop_token stop);
  Status set_labels(const Digest& digest, const content::StringMap& labels, std::stop_token stop);
  Status list(const std::function<Status(const content::BlobInfo&)>& visit, std::stop_token stop);
  Status remove(const Digest& digest, std::stop_token stop);
  Status abort(const std::string& ref, std::stop_token stop);

 private:
  SessionGroup group_;
  std::string session_id_;
  std::string store_id_;
};

}  // namespace kiln::session
