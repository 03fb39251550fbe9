#include "guest/remote_bridge.h"

#include <grpcpp/grpcpp.h>

#include "graph/definition.h"
#include "guest/messages.h"
#include "wire/gateway.grpc.pb.h"

namespace kiln::guest {

namespace api = moby::buildkit::v1::frontend;

struct RemoteBridge::Link {
  std::unique_ptr<api::LLBBridge::Stub> stub;
};

namespace {

using Stub = api::LLBBridge::Stub;

// One call; a stop cancels it.
template <typename Request, typename Response>
Status call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
            const Request& request, Response& response, std::stop_token stop) {
  grpc::ClientContext context;
  std::stop_callback cancel(stop, [&] { context.TryCancel(); });
  return from_call((stub.*method)(&context, request, &response));
}

// A tree that the daemon holds.
class RemoteRef final : public frontend::Ref {
 public:
  RemoteRef(Stub& stub, const api::Ref& ref) : stub_(stub), id_(ref.id()), definition_(ref.def().SerializeAsString()) {}

  Status evaluate(std::stop_token stop) override {
    api::EvaluateRequest request;
    request.set_ref(id_);
    api::EvaluateResponse response;
    return call(stub_, &Stub::Evaluate, request, response, stop);
  }

  Result<std::string> read_file(const frontend::ReadRequest& asked, std::stop_token stop) override {
    api::ReadFileRequest request;
    request.set_ref(id_);
    request.set_filepath(asked.path);
    if (asked.range) {
      request.mutable_range()->set_offset(asked.range->offset);
      request.mutable_range()->set_length(asked.range->length);
    }
    api::ReadFileResponse response;
    KILN_RETURN_IF_ERROR(call(stub_, &Stub::ReadFile, request, response, stop));
    return response.data();
  }

  Result<std::vector<frontend::FileStat>> read_dir(const std::string& path, const std::string& pattern,
                                                   std::stop_token stop) override {
    api::ReadDirRequest request;
    request.set_ref(id_);
    request.set_dirpath(path);
    request.set_includepattern(pattern);
    api::ReadDirResponse response;
    KILN_RETURN_IF_ERROR(call(stub_, &Stub::ReadDir, request, response, stop));
    std::vector<frontend::FileStat> out;
    for (const auto& entry : response.entries()) out.push_back(read(entry));
    return out;
  }

  Result<frontend::FileStat> stat_file(const std::string& path, std::stop_token stop) override {
    api::StatFileRequest request;
    request.set_ref(id_);
    request.set_path(path);
    api::StatFileResponse response;
    KILN_RETURN_IF_ERROR(call(stub_, &Stub::StatFile, request, response, stop));
    return read(response.stat());
  }

  Result<graph::Definition> definition() override { return graph::decode_definition(definition_); }
  const std::string& id() const { return id_; }

 private:
  Stub& stub_;
  std::string id_;
  std::string definition_;
};

frontend::RefPtr make_ref(Stub& stub, const api::Ref& ref) {
  return ref.id().empty() ? nullptr : std::make_shared<RemoteRef>(stub, ref);
}

api::Ref named(const std::string& id) {
  api::Ref out;
  out.set_id(id);
  return out;
}

// Refs of a result are always the daemon's own; an empty tree has no id.
std::string id_of(const frontend::RefPtr& ref) {
  const auto* remote = dynamic_cast<const RemoteRef*>(ref.get());
  return remote == nullptr ? "" : remote->id();
}

frontend::SolveResult read_result(Stub& stub, const api::Result& from) {
  frontend::SolveResult out;
  switch (from.result_case()) {
    case api::Result::kRef: out.ref = make_ref(stub, from.ref()); break;
    case api::Result::kRefDeprecated: out.ref = make_ref(stub, named(from.refdeprecated())); break;
    case api::Result::kRefs:
      for (const auto& [name, ref] : from.refs().refs()) out.refs[name] = make_ref(stub, ref);
      break;
    case api::Result::kRefsDeprecated:
      for (const auto& [name, id] : from.refsdeprecated().refs()) out.refs[name] = make_ref(stub, named(id));
      break;
    case api::Result::RESULT_NOT_SET: break;
  }
  out.metadata = {from.metadata().begin(), from.metadata().end()};
  return out;
}

void fill_attestation(const frontend::Attestation& from, api::Attestation& to) {
  to.set_kind(static_cast<api::AttestationKind>(from.kind));
  to.mutable_metadata()->insert(from.metadata.begin(), from.metadata.end());
  to.mutable_ref()->set_id(id_of(from.ref));
  to.set_path(from.path);
  to.set_intotopredicatetype(from.predicate_type);
  for (const auto& subject : from.subjects) {
    auto& out = *to.add_intotosubjects();
    out.set_kind(static_cast<api::InTotoSubjectKind>(subject.kind));
    out.set_name(subject.name);
    for (const std::string& digest : subject.digests) out.add_digest(digest);
  }
}

void fill_result(const frontend::SolveResult& from, bool ref_messages, api::Result& to) {
  if (from.is_map()) {
    for (const auto& [name, ref] : from.refs) {
      if (ref_messages) {
        (*to.mutable_refs()->mutable_refs())[name].set_id(id_of(ref));
      } else {
        (*to.mutable_refsdeprecated()->mutable_refs())[name] = id_of(ref);
      }
    }
  } else if (ref_messages) {
    to.mutable_ref()->set_id(id_of(from.ref));
  } else {
    to.set_refdeprecated(id_of(from.ref));
  }
  to.mutable_metadata()->insert(from.metadata.begin(), from.metadata.end());
  for (const auto& [name, list] : from.attestations) {
    for (const auto& one : list) fill_attestation(one, *(*to.mutable_attestations())[name].add_attestation());
  }
}

}  // namespace

RemoteBridge::RemoteBridge(std::shared_ptr<grpc::Channel> channel, frontend::BuildOptions options)
    : link_(std::make_shared<Link>()), options_(std::move(options)) {
  link_->stub = api::LLBBridge::NewStub(channel);
}

RemoteBridge::~RemoteBridge() = default;

Status RemoteBridge::greet() {
  api::PongResponse pong;
  KILN_RETURN_IF_ERROR(call(*link_->stub, &Stub::Ping, api::PingRequest(), pong, {}));
  read(pong, options_);
  return ok();
}

Status RemoteBridge::give_back(const Result<frontend::SolveResult>& answer) {
  api::ReturnRequest request;
  if (answer.ok()) {
    fill_result(*answer, options_.caps.supports(graph::kCapProtoRefArray), *request.mutable_result());
  } else {
    to_message(answer.status(), *request.mutable_error());
  }
  api::ReturnResponse response;
  return call(*link_->stub, &Stub::Return, request, response, {});
}

Result<std::map<std::string, graph::Definition>> RemoteBridge::inputs(std::stop_token stop) {
  api::InputsResponse response;
  KILN_RETURN_IF_ERROR(call(*link_->stub, &Stub::Inputs, api::InputsRequest(), response, stop));
  std::map<std::string, graph::Definition> out;
  for (const auto& [name, definition] : response.definitions()) {
    KILN_ASSIGN_OR_RETURN(out[name], graph::decode_definition(definition.SerializeAsString()));
  }
  return out;
}

Result<frontend::SolveResult> RemoteBridge::solve(const frontend::SolveRequest& asked, std::stop_token stop) {
  api::SolveRequest request;
  KILN_RETURN_IF_ERROR(fill(asked, request));
  api::SolveResponse response;
  KILN_RETURN_IF_ERROR(call(*link_->stub, &Stub::Solve, request, response, stop));
  if (!response.has_result()) {
    frontend::SolveResult out;
    out.ref = make_ref(*link_->stub, named(response.ref()));
    return out;
  }
  return read_result(*link_->stub, response.result());
}

Result<frontend::ImageConfig> RemoteBridge::resolve_image_config(const std::string& ref,
                                                                 const frontend::ResolveOptions& options,
                                                                 std::stop_token stop) {
  api::ResolveImageConfigRequest request;
  KILN_RETURN_IF_ERROR(fill(ref, options, request));
  api::ResolveImageConfigResponse response;
  KILN_RETURN_IF_ERROR(call(*link_->stub, &Stub::ResolveImageConfig, request, response, stop));
  return frontend::ImageConfig{response.ref(), Digest::trusted(response.digest()), response.config()};
}

Result<frontend::SourceMeta> RemoteBridge::resolve_source(const graph::SourceOp& source,
                                                          const std::optional<Platform>& platform,
                                                          const frontend::ResolveOptions& options,
                                                          std::stop_token stop) {
  api::ResolveSourceMetaRequest request;
  KILN_RETURN_IF_ERROR(fill(source, platform, options, request));
  api::ResolveSourceMetaResponse response;
  KILN_RETURN_IF_ERROR(call(*link_->stub, &Stub::ResolveSourceMeta, request, response, stop));
  return read(response);
}

Status RemoteBridge::warn(const frontend::Warning& warning) {
  api::WarnRequest request;
  fill(warning, request);
  api::WarnResponse response;
  return call(*link_->stub, &Stub::Warn, request, response, {});
}

}  // namespace kiln::guest
