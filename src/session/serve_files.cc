#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "host/fs.h"
#include "session/internal/headers.h"
#include "session/internal/packet.h"
#include "session/internal/serve.h"
#include "session/internal/tree_receiver.h"
#include "session/internal/tree_sender.h"

namespace kiln::session::internal {
namespace {

std::string first_of(const Headers& headers, const std::string& key) {
  std::vector<std::string> values = list_of(headers, key);
  return values.empty() ? "" : values.front();
}

}  // namespace

Status give_files(const Offers& offers, const Headers& headers, MessagePipe& pipe, const std::function<void()>& cancel,
                  std::stop_token stop) {
  std::string name = first_of(headers, "dir-name");
  auto dir = offers.dirs.find(name);
  if (dir == offers.dirs.end()) {
    return user_error(Code::kNotFound, fmt::format("no access allowed to dir \"{}\"", name));
  }
  TreeFilter filter;
  filter.include_patterns = list_of(headers, "include-patterns");
  filter.exclude_patterns = list_of(headers, "exclude-patterns");
  filter.follow_paths = list_of(headers, "followpaths");
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<FileTree> tree, dir->second->filtered(filter));
  std::function<void(std::int64_t)> progress;
  if (offers.progress) progress = [&](std::int64_t bytes) { offers.progress(name, bytes); };
  PacketPipe packets(pipe, first_of(headers, kBatchKey) == "1" ? Batching::kOn : Batching::kOff);
  return send_tree(packets, *tree, {PassFiles::kYes, progress, cancel}, stop);
}

namespace {

Status take_tree(const OutputTarget& output, const Headers& headers, MessagePipe& pipe, std::stop_token stop) {
  if (output.mirror && first_of(headers, "buildkit-exporter-multi-platform") != "1") {
    return user_error(Code::kFailedPrecondition,
                      "local exporter mode=delete requires a BuildKit daemon with multi-platform local export support");
  }
  KILN_RETURN_IF_ERROR(host::make_dirs(output.dir, 0700));
  SyncTarget target;
  target.dir = output.dir;
  target.merge = !output.mirror;
  target.map = [uid = getuid(), gid = getgid()](FileStat& stat) {
    stat.uid = uid;
    stat.gid = gid;
    return true;
  };
  ReceiveOptions options;
  if (output.mirror) options.differ = Differ::kNone;
  PacketPipe packets(pipe, Batching::kOff);
  return receive_tree(packets, target, options, stop).status();
}

Status take_stream(const OutputTarget& output, const Headers& headers, MessagePipe& pipe) {
  constexpr std::string_view kPrefix = "exporter-md-";
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : headers) {
    if (!std::string_view(key).starts_with(kPrefix)) continue;
    std::string& joined = metadata[key.substr(kPrefix.size())];
    joined += (joined.empty() ? "" : ",") + value;
  }
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ExportSink> sink, output.open(metadata));
  if (!sink) return user_error(Code::kAlreadyExists, "target already exists");
  Pieces pieces;
  while (pipe.read(pieces)) {
    KILN_RETURN_IF_ERROR(bytes_of_message(pieces));
    for (std::string_view piece : pieces) KILN_RETURN_IF_ERROR(sink->write(piece));
  }
  if (!pipe.complete()) return peer_error(Code::kUnavailable, "the daemon went away during a transfer");
  return sink->close();
}

}  // namespace

Status take_output(const Offers& offers, const Headers& headers, MessagePipe& pipe, std::stop_token stop) {
  int id = std::atoi(first_of(headers, "buildkit-attachable-exporter-id").c_str());
  auto output = offers.outputs.find(id);
  if (output == offers.outputs.end()) {
    return user_error(Code::kUnknown, fmt::format("exporter {} not found", id));
  }
  if (!output->second.dir.empty()) return take_tree(output->second, headers, pipe, stop);
  return take_stream(output->second, headers, pipe);
}

Served serve_file_sync(const Offers& offers, std::stop_token stop) {
  if (offers.dirs.empty()) return {};
  auto give = [&offers, stop](http2::ServedCall& call, MessagePipe& pipe) {
    return give_files(
        offers, headers_of(call), pipe, [&] { call.cancel(); }, stop);
  };
  auto tar = [](http2::ServedCall&, MessagePipe&) {
    return user_error(Code::kUnimplemented, "failed to negotiate protocol");
  };
  return {{kGiveFiles, answer_stream(give)}, {"/moby.filesync.v1.FileSync/TarStream", answer_stream(tar)}};
}

Served serve_file_send(const Offers& offers, std::stop_token stop) {
  if (offers.outputs.empty()) return {};
  auto take = [&offers, stop](http2::ServedCall& call, MessagePipe& pipe) {
    return take_output(offers, headers_of(call), pipe, stop);
  };
  return {{kTakeOutput, answer_stream(take)}};
}

}  // namespace kiln::session::internal
