#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "daemon/bridge_messages.h"
#include "daemon/calls.h"
#include "daemon/control_messages.h"
#include "daemon/gateway_containers.h"
#include "daemon/services.h"
#include "graph/definition.h"
#include "wire/gateway.grpc.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1::frontend;
using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

constexpr auto kGatewayPatience = std::chrono::seconds(3);

// A call under way in a gateway: keeps the gateway open, and is stopped with it.
class Visit {
 public:
  static Result<Visit> enter(std::shared_ptr<Gateway> gateway, std::stop_token call) {
    if (!gateway->enter()) return cancelled("the build has ended");
    return Visit(std::move(gateway), std::move(call));
  }
  Visit(Visit&&) = default;
  ~Visit() {
    if (gateway_ == nullptr) return;
    both_.reset();
    gateway_->leave();
  }
  Gateway& gateway() { return *gateway_; }
  frontend::Bridge& bridge() { return gateway_->bridge(); }
  std::stop_token stop() const { return both_->source.get_token(); }

 private:
  struct Both {
    Both(std::stop_token a, std::stop_token b)
        : first(std::move(a), [this] { source.request_stop(); }),
          second(std::move(b), [this] { source.request_stop(); }) {}
    std::stop_source source;
    std::stop_callback<std::function<void()>> first;
    std::stop_callback<std::function<void()>> second;
  };
  Visit(std::shared_ptr<Gateway> gateway, std::stop_token call)
      : gateway_(std::move(gateway)), both_(std::make_unique<Both>(gateway_->stop_token(), std::move(call))) {}
  std::shared_ptr<Gateway> gateway_;
  std::unique_ptr<Both> both_;
};

class BridgeService final : public api::LLBBridge::CallbackService {
 public:
  BridgeService(Pool& pool, FindGateway find) : pool_(pool), find_(std::move(find)) {}

 private:
  using Work = std::function<Status(Visit&)>;
  Unary* visit(Context* context, const char* method, Work work) {
    return new PooledCall(
        pool_, method, [this, context, method, work = std::move(work)](std::stop_token stop) -> Status {
          auto gateway = find_(*context, stop);
          if (!gateway.ok()) return annotate(gateway.status(), fmt::format("forwarding {}", method));
          KILN_ASSIGN_OR_RETURN(Visit visit, Visit::enter(std::move(gateway).value(), std::move(stop)));
          return work(visit);
        });
  }

  // The ref named by an id; naming none where a tree is needed is an error.
  static Result<frontend::RefPtr> tree(Visit& visit, const std::string& id) {
    KILN_ASSIGN_OR_RETURN(frontend::RefPtr ref, visit.gateway().ref(id));
    if (ref == nullptr) return user_error(Code::kNotFound, fmt::format("no such ref: {}", id));
    return ref;
  }

  Unary* Ping(Context* context, const api::PingRequest*, api::PongResponse* out) override {
    return visit(context, "Ping", [out](Visit& visit) {
      for (const graph::ApiCap& cap : graph::gateway_caps()) to_message(cap, *out->add_frontendapicaps());
      for (const graph::ApiCap& cap : graph::llb_caps()) to_message(cap, *out->add_llbcaps());
      for (const frontend::WorkerInfo& worker : visit.bridge().options().workers)
        to_message(worker, {}, *out->add_workers());
      return ok();
    });
  }

  Unary* Solve(Context* context, const api::SolveRequest* in, api::SolveResponse* out) override {
    return visit(context, "Solve", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(frontend::SolveRequest request, from_message(*in));
      Result<frontend::SolveResult> solved = visit.bridge().solve(request, visit.stop());
      if (!solved.ok()) return without_code(solved.status());
      frontend::SolveResult result = std::move(solved).value();
      if (result.is_map() && !in->allowresultreturn()) {
        return user_error(Code::kFailedPrecondition, "solve did not return default result");
      }
      KILN_RETURN_IF_ERROR(to_message(result, in->allowresultarrayref(), visit.gateway(), *out->mutable_result()));
      if (!in->allowresultreturn()) {
        out->set_ref(in->allowresultarrayref() ? out->result().ref().id() : out->result().refdeprecated());
      }
      return in->final() ? finish_with(*in, std::move(result), visit.gateway()) : ok();
    });
  }

  // Frontends older than Return mark their last solve.
  static Status finish_with(const api::SolveRequest& in, frontend::SolveResult result, Gateway& gateway) {
    if (!in.exporterattr().empty()) {
      const auto attrs = nlohmann::json::parse(in.exporterattr(), nullptr, false);
      if (!attrs.is_object()) return user_error(Code::kInvalidArgument, "ExporterAttr is no JSON object");
      for (const auto& [key, value] : attrs.items()) {
        if (value.is_string()) result.metadata.emplace(key, value.get<std::string>());
      }
    }
    return gateway.finish(std::move(result));
  }

  Unary* Return(Context* context, const api::ReturnRequest* in, api::ReturnResponse*) override {
    return visit(context, "Return", [in](Visit& visit) -> Status {
      if (in->has_error() && in->error().code() != 0) {
        Status failure = from_proto(in->error());
        set_detail(failure, kDetailCodeIsMeant, "1");
        return visit.gateway().finish(std::move(failure));
      }
      KILN_ASSIGN_OR_RETURN(frontend::SolveResult result, from_message(in->result(), visit.gateway()));
      return visit.gateway().finish(std::move(result));
    });
  }

  Unary* Inputs(Context* context, const api::InputsRequest*, api::InputsResponse* out) override {
    return visit(context, "Inputs", [out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(auto inputs, visit.bridge().inputs(visit.stop()));
      for (const auto& [name, definition] : inputs) {
        (*out->mutable_definitions())[name].ParseFromString(graph::encode_definition(definition));
      }
      return ok();
    });
  }

  Unary* ResolveImageConfig(Context* context, const api::ResolveImageConfigRequest* in,
                            api::ResolveImageConfigResponse* out) override {
    return visit(context, "ResolveImageConfig", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(frontend::ImageConfig config,
                            visit.bridge().resolve_image_config(in->ref(), from_message(*in), visit.stop()));
      out->set_ref(config.ref);
      out->set_digest(config.digest.str());
      out->set_config(config.config);
      return ok();
    });
  }

  Unary* ResolveSourceMeta(Context* context, const api::ResolveSourceMetaRequest* in,
                           api::ResolveSourceMetaResponse* out) override {
    return visit(context, "ResolveSourceMeta", [in, out](Visit& visit) -> Status {
      if (!in->has_source()) return user_error(Code::kInvalidArgument, "source is required");
      graph::SourceOp source{in->source().identifier(), {in->source().attrs().begin(), in->source().attrs().end()}};
      const frontend::ResolveOptions options = from_message(*in);
      KILN_ASSIGN_OR_RETURN(frontend::SourceMeta meta,
                            visit.bridge().resolve_source(source, options.platform, options, visit.stop()));
      to_message(meta, *out);
      return ok();
    });
  }

  Unary* ReadFile(Context* context, const api::ReadFileRequest* in, api::ReadFileResponse* out) override {
    return visit(context, "ReadFile", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(frontend::RefPtr ref, tree(visit, in->ref()));
      KILN_ASSIGN_OR_RETURN(*out->mutable_data(), ref->read_file(read_request(*in), visit.stop()));
      return ok();
    });
  }
  Unary* ReadDir(Context* context, const api::ReadDirRequest* in, api::ReadDirResponse* out) override {
    return visit(context, "ReadDir", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(frontend::RefPtr ref, tree(visit, in->ref()));
      KILN_ASSIGN_OR_RETURN(auto entries, ref->read_dir(in->dirpath(), in->includepattern(), visit.stop()));
      for (const frontend::FileStat& entry : entries) to_message(entry, *out->add_entries());
      return ok();
    });
  }
  Unary* StatFile(Context* context, const api::StatFileRequest* in, api::StatFileResponse* out) override {
    return visit(context, "StatFile", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(frontend::RefPtr ref, tree(visit, in->ref()));
      KILN_ASSIGN_OR_RETURN(frontend::FileStat stat, ref->stat_file(in->path(), visit.stop()));
      to_message(stat, *out->mutable_stat());
      return ok();
    });
  }
  Unary* Evaluate(Context* context, const api::EvaluateRequest* in, api::EvaluateResponse*) override {
    return visit(context, "Evaluate", [in](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(frontend::RefPtr ref, tree(visit, in->ref()));
      return ref->evaluate(visit.stop());
    });
  }
  Unary* Warn(Context* context, const api::WarnRequest* in, api::WarnResponse*) override {
    return visit(context, "Warn", [in](Visit& visit) { return visit.bridge().warn(from_message(*in)); });
  }

  static frontend::ReadRequest read_request(const api::ReadFileRequest& in) {
    frontend::ReadRequest request{in.filepath(), std::nullopt};
    if (in.has_range()) request.range = frontend::FileRange{in.range().offset(), in.range().length()};
    return request;
  }

  // ---- containers -----------------------------------------------------------------------------

  static Result<GatewayContainers*> containers(Visit& visit) {
    if (visit.gateway().containers() == nullptr) {
      return user_error(Code::kUnimplemented, "this build offers no containers to its frontend");
    }
    return visit.gateway().containers().get();
  }

  Unary* NewContainer(Context* context, const api::NewContainerRequest* in, api::NewContainerResponse*) override {
    return visit(context, "NewContainer", [in](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(GatewayContainers * all, containers(visit));
      return all->create(*in, visit.gateway(), visit.stop());
    });
  }
  Unary* ReleaseContainer(Context* context, const api::ReleaseContainerRequest* in,
                          api::ReleaseContainerResponse*) override {
    return visit(context, "ReleaseContainer", [in](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(GatewayContainers * all, containers(visit));
      return all->release(in->containerid());
    });
  }
  Unary* ReadFileContainer(Context* context, const api::ReadFileRequest* in, api::ReadFileResponse* out) override {
    return visit(context, "ReadFileContainer", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(GatewayContainers * all, containers(visit));
      KILN_ASSIGN_OR_RETURN(*out->mutable_data(), all->read_file(in->ref(), in->mountindex(), read_request(*in)));
      return ok();
    });
  }
  Unary* ReadDirContainer(Context* context, const api::ReadDirRequest* in, api::ReadDirResponse* out) override {
    return visit(context, "ReadDirContainer", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(GatewayContainers * all, containers(visit));
      KILN_ASSIGN_OR_RETURN(auto entries,
                            all->read_dir(in->ref(), in->mountindex(), in->dirpath(), in->includepattern()));
      for (const frontend::FileStat& entry : entries) to_message(entry, *out->add_entries());
      return ok();
    });
  }
  Unary* StatFileContainer(Context* context, const api::StatFileRequest* in, api::StatFileResponse* out) override {
    return visit(context, "StatFileContainer", [in, out](Visit& visit) -> Status {
      KILN_ASSIGN_OR_RETURN(GatewayContainers * all, containers(visit));
      KILN_ASSIGN_OR_RETURN(frontend::FileStat stat, all->stat_file(in->ref(), in->mountindex(), in->path()));
      to_message(stat, *out->mutable_stat());
      return ok();
    });
  }

  grpc::ServerBidiReactor<api::ExecMessage, api::ExecMessage>* ExecProcess(Context* context) override {
    return serve_exec(pool_, context, find_);
  }

  Pool& pool_;
  FindGateway find_;
};

}  // namespace

FindGateway find_by_metadata(Builds& builds) {
  return [&builds](Context& context, std::stop_token stop) -> Result<std::shared_ptr<Gateway>> {
    auto it = context.client_metadata().find("buildkit-controlapi-buildid");
    if (it == context.client_metadata().end()) return user_error(Code::kInvalidArgument, "no buildid found in context");
    const std::string ref(it->second.data(), it->second.size());
    std::shared_ptr<Gateway> gateway;
    if (auto build = builds.wait(ref, stop, kGatewayPatience))
      gateway = build->wait_for_gateway(stop, kGatewayPatience);
    if (gateway == nullptr) return user_error(Code::kNotFound, fmt::format("no such job {}", ref));
    return gateway;
  };
}

std::unique_ptr<grpc::Service> make_bridge_service(Pool& pool, FindGateway find) {
  return std::make_unique<BridgeService>(pool, std::move(find));
}

}  // namespace kiln::daemon
