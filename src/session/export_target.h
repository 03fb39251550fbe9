// The client as the place where a result goes: a directory, a tar file, or whatever it decides once
// the result is there.
//
//   ExportTarget target(group, session_id);
//   KILN_ASSIGN_OR_RETURN(auto sink, target.open_file(0, {{"containerimage.digest", d}}, stop));
//   … sink->write(bytes); KILN_RETURN_IF_ERROR(sink->close());
//
// Protocols: moby.filesync.v1.FileSend/DiffCopy (metadata "buildkit-attachable-exporter-id",
// "exporter-md-*", "buildkit-exporter-multi-platform"), moby.exporter.v1.Exporter.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/stream.h"
#include "session/file_tree.h"
#include "session/session.h"

namespace kiln::session {

// Bytes to the client. Without close() the client sees a failed transfer.
class ExportSink : public ByteSink {
 public:
  // Ends the stream and waits until the client has written it. Once.
  virtual Status close() = 0;
};

struct TreeExport {
  int exporter_id = 0;
  bool multi_platform_transfer = true;  // the client may then delete what is not told
  std::function<void(std::int64_t bytes)> progress;
};

// What a client wants exported, when it decides late.
struct ExporterRequest {
  std::string type;
  std::map<std::string, std::string> attributes;
};

// Any thread. Calls go to the session of the id only.
class ExportTarget {
 public:
  ExportTarget(SessionGroup group, std::string session_id);

  // AlreadyExists when the client has the target and does not want it again.
  Result<std::unique_ptr<ExportSink>> open_file(int exporter_id, const std::map<std::string, std::string>& metadata,
                                                std::stop_token stop);
  Status send_tree(FileTree& tree, const TreeExport& options, std::stop_token stop);
  // Whether the client has a say in what is exported.
  bool offers_exporters(std::stop_token stop);
  Result<std::vector<ExporterRequest>> find_exporters(const std::map<std::string, std::string>& metadata,
                                                      const std::vector<std::string>& refs, std::stop_token stop);
  Status finalize(const std::map<std::string, std::string>& response, std::stop_token stop);

 private:
  SessionGroup group_;
  std::string session_id_;
};

}  // namespace kiln::session
