#include "daemon/trace_listener.h"

#include <fmt/format.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "base/gopath.h"
#include "base/log.h"
#include "daemon/listener.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

std::optional<std::pair<std::uint64_t, std::uint64_t>> socket_at(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return std::nullopt;
  return std::pair<std::uint64_t, std::uint64_t>(info.st_dev, info.st_ino);
}

}  // namespace

TraceListener::TraceListener(std::string path, MakeService make_service)
    : path_(std::move(path)), make_service_(std::move(make_service)) {}

TraceListener::~TraceListener() { close(); }

void TraceListener::close() {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  if (is_ours()) (void)::unlink(path_.c_str());
}

std::string TraceListener::path() {
  std::call_once(once_, [this] { open_ = open(); });
  return open_ && is_ours() ? path_ : std::string();
}

bool TraceListener::is_ours() const {
  const auto there = socket_at(path_);
  return there && *there == identity_;
}

bool TraceListener::open() {
  if (path_.empty()) return false;
  auto failed = [&](std::string_view why) {
    log_warn("steps are not traced: socket '{}': {}", path_, why);
    return false;
  };
  if (Status folder = host::make_dirs(std::string(dir_name(path_)), 0711); !folder.ok())
    return failed(message_of(folder));
  if (somebody_answers(path_)) path_ += fmt::format(".{}", ::getpid());
  // Listened on under another name, because the library removes that name at the end, whosever it is by then.
  const std::string name = path_ + ".new";
  (void)::unlink(name.c_str());
  service_ = make_service_();
  grpc::ServerBuilder builder;
  int bound = 0;
  builder.AddListeningPort("unix:" + name, grpc::InsecureServerCredentials(), &bound);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (!server_ || bound == 0) return failed("it cannot be listened on");
  // Steps of any user write to it.
  if (::chmod(name.c_str(), 0666) != 0) return failed("its mode cannot be set");
  const auto made = socket_at(name);
  if (!made || ::rename(name.c_str(), path_.c_str()) != 0) return failed("it cannot be put in its place");
  identity_ = *made;
  return true;
}

}  // namespace kiln::daemon
