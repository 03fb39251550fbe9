// The small services: health, secrets, agents, uploads, exporters, policy.
#include <fcntl.h>
#include <fmt/format.h>

#include "base/stream.h"
#include "session/internal/agent_pump.h"
#include "session/internal/packet.h"
#include "session/internal/serve.h"
#include "wire/exporter.pb.h"
#include "wire/health.pb.h"
#include "wire/policysession.pb.h"
#include "wire/secrets.pb.h"
#include "wire/ssh.pb.h"

namespace kiln::session::internal {
namespace {

namespace health = grpc::health::v1;
namespace secrets = moby::buildkit::secrets::v1;
namespace ssh = moby::sshforward::v1;
namespace exporter = moby::exporter::v1;
namespace policy = moby::buildkit::v1::sourcepolicy::policysession;

std::string agent_of(const std::string& id) { return id.empty() ? "default" : id; }

// The pump takes the call over.
void forward_agent(AgentSource& agents, const std::shared_ptr<host::Poller>& poller,
                   std::shared_ptr<http2::ServedCall> call) {
  Result<host::Fd> socket = agents.connect(agent_of(header_of(*call, "buildkit.ssh.id")));
  if (!socket.ok()) return call->finish(to_outcome(socket.status()));
  ::fcntl(socket->get(), F_SETFL, ::fcntl(socket->get(), F_GETFL) | O_NONBLOCK);
  call->begin();
  auto pump = AgentPump::start(poller, *std::move(socket), call->stream(), AgentPump::End::kAnswering,
                               [call] { call->finish({}); });
  if (!pump.ok()) call->finish(to_outcome(pump.status()));
}

Status find_exporters(const Offers& offers, const exporter::FindExportersRequest& request,
                      exporter::FindExportersResponse& response) {
  std::map<std::string, std::string> metadata(request.metadata().begin(), request.metadata().end());
  KILN_ASSIGN_OR_RETURN(std::vector<ExporterRequest> found,
                        offers.exporters(metadata, {request.refs().begin(), request.refs().end()}));
  for (const ExporterRequest& one : found) {
    exporter::ExporterRequest* out = response.add_exporters();
    out->set_type(one.type);
    out->mutable_attrs()->insert(one.attributes.begin(), one.attributes.end());
  }
  return ok();
}

Status push_upload(const Offers& offers, const http2::ServedCall& call, MessagePipe& pipe, std::stop_token stop) {
  std::string path = header_of(call, "urlpath");
  auto upload = offers.uploads.find(path);
  if (upload == offers.uploads.end()) {
    return user_error(Code::kNotFound, fmt::format("no stream '{}' to upload", path));
  }
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, upload->second());
  while (true) {
    if (stop.stop_requested()) return cancelled();
    std::shared_ptr<char[]> buffer = std::make_shared_for_overwrite<char[]>(kChunkBytes);
    KILN_ASSIGN_OR_RETURN(std::size_t got, source->read({buffer.get(), kChunkBytes}));
    if (got == 0) return ok();
    if (!pipe.write(bytes_message_head(got), {{buffer.get(), got}, buffer}, MessagePipe::Flush::kNow)) {
      return cancelled("the daemon stopped reading the upload");
    }
  }
}

}  // namespace

Served serve_health() {
  using Check = health::HealthCheckRequest;
  auto check = [](http2::ServedCall&, const Check&, health::HealthCheckResponse& response) {
    response.set_status(health::HealthCheckResponse::SERVING);
    return ok();
  };
  auto watch = [](http2::ServedCall&, MessagePipe&) { return user_error(Code::kUnimplemented, ""); };
  return {{"/grpc.health.v1.Health/Check", answer_with<Check, health::HealthCheckResponse>(check)},
          {"/grpc.health.v1.Health/Watch", answer_stream(watch)}};
}

Served serve_secrets(const Offers& offers) {
  if (!offers.secrets) return {};
  auto get = [&source = *offers.secrets](http2::ServedCall&, const secrets::GetSecretRequest& request,
                                         secrets::GetSecretResponse& response) -> Status {
    KILN_ASSIGN_OR_RETURN(std::optional<std::string> secret, source.secret(request.id()));
    if (!secret) return user_error(Code::kNotFound, fmt::format("secret {} not found", request.id()));
    response.set_data(*std::move(secret));
    return ok();
  };
  return {{"/moby.buildkit.secrets.v1.Secrets/GetSecret",
           answer_with<secrets::GetSecretRequest, secrets::GetSecretResponse>(get)}};
}

Served serve_agents(const Offers& offers, std::shared_ptr<host::Poller> poller) {
  if (!offers.agents) return {};
  AgentSource& agents = *offers.agents;
  auto check = [&agents](http2::ServedCall&, const ssh::CheckAgentRequest& request, ssh::CheckAgentResponse&) {
    return agents.check(agent_of(request.id()));
  };
  auto forward = [&agents, poller](std::shared_ptr<http2::ServedCall> call) {
    forward_agent(agents, poller, std::move(call));
  };
  return {{"/moby.sshforward.v1.SSH/CheckAgent", answer_with<ssh::CheckAgentRequest, ssh::CheckAgentResponse>(check)},
          {"/moby.sshforward.v1.SSH/ForwardAgent", forward}};
}

Served serve_uploads(const Offers& offers, std::stop_token stop) {
  if (offers.uploads.empty()) return {};
  auto push = [&offers, stop](http2::ServedCall& call, MessagePipe& pipe) {
    return push_upload(offers, call, pipe, stop);
  };
  return {{"/moby.upload.v1.Upload/Pull", answer_stream(push)}};
}

Served serve_exporters(const Offers& offers) {
  if (!offers.exporters) return {};
  using Find = exporter::FindExportersRequest;
  using Finalize = exporter::FinalizeExportRequest;
  auto find = [&offers](http2::ServedCall&, const Find& request, exporter::FindExportersResponse& response) {
    return find_exporters(offers, request, response);
  };
  auto finalize = [&offers](http2::ServedCall&, const Finalize& request, exporter::FinalizeExportResponse&) {
    if (!offers.finalize) return user_error(Code::kUnimplemented, "no exporter finalize callback registered");
    return offers.finalize({request.exporter_response().begin(), request.exporter_response().end()});
  };
  return {
      {"/moby.exporter.v1.Exporter/FindExporters", answer_with<Find, exporter::FindExportersResponse>(find)},
      {"/moby.exporter.v1.Exporter/FinalizeExport", answer_with<Finalize, exporter::FinalizeExportResponse>(finalize)}};
}

Served serve_policy(const Offers& offers) {
  if (!offers.policy) return {};
  auto check = [&offers](http2::ServedCall&, const policy::CheckPolicyRequest& request,
                         policy::CheckPolicyResponse& response) -> Status {
    KILN_ASSIGN_OR_RETURN(std::string answer, offers.policy(request.SerializeAsString()));
    return response.ParseFromString(answer) ? ok() : engine_error("the policy's answer is malformed");
  };
  return {{"/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy",
           answer_with<policy::CheckPolicyRequest, policy::CheckPolicyResponse>(check)}};
}

}  // namespace kiln::session::internal
