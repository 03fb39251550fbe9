// The small services: health, secrets, agents, uploads, exporters, policy.
#include <fmt/format.h>

#include "session/internal/packet.h"
#include "session/internal/reactors.h"
#include "session/internal/serve.h"
#include "wire/exporter.grpc.pb.h"
#include "wire/health.grpc.pb.h"
#include "wire/policysession.grpc.pb.h"
#include "wire/secrets.grpc.pb.h"
#include "wire/ssh.grpc.pb.h"

namespace kiln::session::internal {
namespace {

namespace health = grpc::health::v1;
namespace secrets = moby::buildkit::secrets::v1;
namespace ssh = moby::sshforward::v1;
namespace exporter = moby::exporter::v1;
namespace policy = moby::buildkit::v1::sourcepolicy::policysession;

class Health final : public health::Health::Service {
  grpc::Status Check(grpc::ServerContext*, const health::HealthCheckRequest*,
                     health::HealthCheckResponse* response) override {
    response->set_status(health::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }
};

class Secrets final : public secrets::Secrets::Service {
 public:
  explicit Secrets(SecretSource& source) : source_(source) {}
  grpc::Status GetSecret(grpc::ServerContext*, const secrets::GetSecretRequest* request,
                         secrets::GetSecretResponse* response) override {
    Result<std::optional<std::string>> secret = source_.secret(request->id());
    if (!secret.ok()) return to_grpc(secret.status());
    if (!*secret) return {grpc::StatusCode::NOT_FOUND, fmt::format("secret {} not found", request->id())};
    response->set_data(std::move(**secret));
    return grpc::Status::OK;
  }

 private:
  SecretSource& source_;
};

class Agents final : public ssh::SSH::WithRawCallbackMethod_ForwardAgent<ssh::SSH::Service> {
 public:
  Agents(AgentSource& source, std::shared_ptr<Poller> poller) : source_(source), poller_(std::move(poller)) {}

  grpc::Status CheckAgent(grpc::ServerContext*, const ssh::CheckAgentRequest* request,
                          ssh::CheckAgentResponse*) override {
    return to_grpc(source_.check(request->id().empty() ? "default" : request->id()));
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ForwardAgent(
      grpc::CallbackServerContext* context) override {
    std::string id = header_of(*context, "buildkit.ssh.id");
    Result<host::Fd> socket = source_.connect(id.empty() ? "default" : id);
    if (!socket.ok()) return new ServerStream(to_grpc(socket.status()));
    return new ServerStream(poller_, *std::move(socket), {});
  }

 private:
  AgentSource& source_;
  std::shared_ptr<Poller> poller_;
};

class Exporters final : public exporter::Exporter::Service {
 public:
  explicit Exporters(const Offers& offers) : offers_(offers) {}
  grpc::Status FindExporters(grpc::ServerContext*, const exporter::FindExportersRequest* request,
                             exporter::FindExportersResponse* response) override {
    std::map<std::string, std::string> metadata(request->metadata().begin(), request->metadata().end());
    Result<std::vector<ExporterRequest>> found =
        offers_.exporters(metadata, {request->refs().begin(), request->refs().end()});
    if (!found.ok()) return to_grpc(found.status());
    for (const ExporterRequest& one : *found) {
      exporter::ExporterRequest* out = response->add_exporters();
      out->set_type(one.type);
      out->mutable_attrs()->insert(one.attributes.begin(), one.attributes.end());
    }
    return grpc::Status::OK;
  }
  grpc::Status FinalizeExport(grpc::ServerContext*, const exporter::FinalizeExportRequest* request,
                              exporter::FinalizeExportResponse*) override {
    if (!offers_.finalize) return {grpc::StatusCode::UNIMPLEMENTED, "no exporter finalize callback registered"};
    return to_grpc(offers_.finalize({request->exporter_response().begin(), request->exporter_response().end()}));
  }

 private:
  const Offers& offers_;
};

class Policy final : public policy::PolicyVerifier::Service {
 public:
  explicit Policy(const Offers& offers) : offers_(offers) {}
  grpc::Status CheckPolicy(grpc::ServerContext*, const policy::CheckPolicyRequest* request,
                           policy::CheckPolicyResponse* response) override {
    Result<std::string> answer = offers_.policy(request->SerializeAsString());
    if (!answer.ok()) return to_grpc(answer.status());
    if (!response->ParseFromString(*answer)) return {grpc::StatusCode::INTERNAL, "the policy's answer is malformed"};
    return grpc::Status::OK;
  }

 private:
  const Offers& offers_;
};

Status push_upload(const Offers& offers, grpc::ServerContext& context, MessagePipe& pipe, std::stop_token stop) {
  std::string path = header_of(context, "urlpath");
  auto upload = offers.uploads.find(path);
  if (upload == offers.uploads.end()) {
    return user_error(Code::kNotFound, fmt::format("no stream '{}' to upload", path));
  }
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, upload->second());
  while (true) {
    if (stop.stop_requested()) return cancelled();
    grpc::Slice slice(kChunkBytes);
    char* buffer = reinterpret_cast<char*>(const_cast<std::uint8_t*>(slice.begin()));
    KILN_ASSIGN_OR_RETURN(std::size_t got, source->read({buffer, slice.size()}));
    if (got == 0) return ok();
    if (!pipe.write(bytes_message(slice.sub(0, got)))) return cancelled("the daemon stopped reading the upload");
  }
}

}  // namespace

Served serve_health() {
  return {std::make_unique<Health>(), {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}};
}

Served serve_secrets(const Offers& offers) {
  if (!offers.secrets) return {};
  return {std::make_unique<Secrets>(*offers.secrets), {"/moby.buildkit.secrets.v1.Secrets/GetSecret"}};
}

Served serve_agents(const Offers& offers, std::shared_ptr<Poller> poller) {
  if (!offers.agents) return {};
  return {std::make_unique<Agents>(*offers.agents, std::move(poller)),
          {"/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"}};
}

Served serve_uploads(const Offers& offers, std::stop_token stop) {
  if (offers.uploads.empty()) return {};
  auto service = std::make_unique<RawService>();
  service->add("/moby.upload.v1.Upload/Pull", [&offers, stop](grpc::ServerContext& context, MessagePipe& pipe) {
    return push_upload(offers, context, pipe, stop);
  });
  return {std::move(service), {"/moby.upload.v1.Upload/Pull"}};
}

Served serve_exporters(const Offers& offers) {
  if (!offers.exporters) return {};
  return {std::make_unique<Exporters>(offers),
          {"/moby.exporter.v1.Exporter/FindExporters", "/moby.exporter.v1.Exporter/FinalizeExport"}};
}

Served serve_policy(const Offers& offers) {
  if (!offers.policy) return {};
  return {std::make_unique<Policy>(offers),
          {"/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy"}};
}

}  // namespace kiln::session::internal
