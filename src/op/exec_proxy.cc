#include "op/exec_proxy.h"

#include "op/step_records.h"

namespace kiln::op {

Status ExecProxy::start(const graph::ExecOp& exec, sandbox::ContainerSpec& container, sandbox::ProcessSpec& process,
                        std::stop_token stop) {
  if (!ports_.proxied || exec.network == graph::NetMode::kNone) return ok();
  if (ports_.proxies == nullptr) return engine_error("no proxy network was configured");
  using sandbox::proxy::Egress;
  const Egress egress = exec.network == graph::NetMode::kHost ? Egress::kHost : Egress::kDefault;
  auto started = ports_.proxies->start({.decide = ports_.decide_fetch, .egress = egress}, std::move(stop));
  if (!started.ok()) return annotate(started.status(), "start the proxy network");
  session_ = std::move(*started);
  container.own_network = session_->network();
  container.trusted_certificate = session_->certificate();
  for (std::string& variable : session_->environment()) process.env.push_back(std::move(variable));
  return ok();
}

void ExecProxy::finish(const Digest& vertex, event::Reporter& reporter) {
  if (!session_) return;
  session_->finish();
  const sandbox::proxy::Capture& capture = session_->capture();
  if (const std::string summary = capture.summary(); !summary.empty()) reporter.log(event::LogStream::kStderr, summary);
  if (ports_.step_records) ports_.step_records->set_fetched(vertex, {capture.materials(), capture.incomplete()});
}

}  // namespace kiln::op
