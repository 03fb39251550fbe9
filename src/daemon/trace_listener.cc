#include "daemon/trace_listener.h"

#include <grpcpp/impl/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gopath.h"
#include "base/log.h"
#include "host/fs.h"

namespace kiln::daemon {

TraceListener::TraceListener(std::string path, MakeService make_service)
    : path_(std::move(path)), make_service_(std::move(make_service)) {}

TraceListener::~TraceListener() { close(); }

void TraceListener::close() {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  (void)::unlink(path_.c_str());
}

std::string TraceListener::path() {
  std::call_once(once_, [this] { open_ = open(); });
  return open_ ? path_ : std::string();
}

bool TraceListener::open() {
  if (path_.empty()) return false;
  auto failed = [&](std::string_view why) {
    log_warn("steps are not traced: socket '{}': {}", path_, why);
    return false;
  };
  if (Status made = host::make_dirs(std::string(dir_name(path_)), 0711); !made.ok()) return failed(message_of(made));
  (void)::unlink(path_.c_str());
  service_ = make_service_();
  grpc::ServerBuilder builder;
  int bound = 0;
  builder.AddListeningPort("unix:" + path_, grpc::InsecureServerCredentials(), &bound);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (!server_ || bound == 0) return failed("it cannot be listened on");
  // Steps of any user write to it.
  if (::chmod(path_.c_str(), 0666) != 0) return failed("its mode cannot be set");
  return true;
}

}  // namespace kiln::daemon
