#include "daemon/library_log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include "base/log.h"

namespace kiln::daemon {
namespace {

void tell_protobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  log_debug("protobuf: {}", message);
}

void tell_grpc(gpr_log_func_args* line) { log_debug("grpc: {}", line->message); }

}  // namespace

void take_library_logs() {
  google::protobuf::SetLogHandler(tell_protobuf);
  gpr_set_log_function(tell_grpc);
  gpr_set_log_verbosity(log_enabled(LogLevel::kDebug) ? GPR_LOG_SEVERITY_INFO : GPR_LOG_SEVERITY_ERROR);
}

}  // namespace kiln::daemon
