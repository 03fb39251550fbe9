#include "op/exec_tracing.h"

#include <algorithm>

namespace kiln::op {
namespace {

constexpr const char* kSocket = "/dev/otel-grpc.sock";

void add_missing(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  const std::string start = name + "=";
  const bool there =
      std::any_of(env.begin(), env.end(), [&](const std::string& one) { return one.starts_with(start); });
  if (!there) env.push_back(start + value);
}

}  // namespace

void add_tracing(const OpPorts& ports, sandbox::ContainerSpec& container, sandbox::ProcessSpec& process) {
  if (ports.trace_parent.empty() || !ports.trace_socket) return;
  const std::string socket = ports.trace_socket();
  if (socket.empty()) return;
  add_missing(process.env, "OTEL_TRACES_EXPORTER", "otlp");
  add_missing(process.env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", std::string("unix://") + kSocket);
  add_missing(process.env, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc");
  add_missing(process.env, "TRACEPARENT", ports.trace_parent);
  container.mounts.push_back(
      {.what = {"bind", socket, {"ro", "bind"}}, .target = kSocket, .selector = "", .file = nullptr});
}

}  // namespace kiln::op
