#include "daemon/calls.h"
#include "daemon/otlp_messages.h"
#include "daemon/services.h"
#include "wire/health.grpc.pb.h"
#include "wire/otlp_trace_service.grpc.pb.h"

namespace kiln::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

namespace hv1 = grpc::health::v1;

// A daemon that answers is healthy: it listens only once its stores are open.
class HealthService final : public hv1::Health::CallbackService {
  Unary* Check(Context* context, const hv1::HealthCheckRequest* in, hv1::HealthCheckResponse* out) override {
    out->set_status(hv1::HealthCheckResponse::SERVING);
    return answer(context, in->service().empty() ? ok() : user_error(Code::kNotFound, "unknown service"));
  }
  Unary* List(Context* context, const hv1::HealthListRequest*, hv1::HealthListResponse* out) override {
    (*out->mutable_statuses())[""].set_status(hv1::HealthCheckResponse::SERVING);
    return answer(context, ok());
  }
  grpc::ServerWriteReactor<hv1::HealthCheckResponse>* Watch(Context*, const hv1::HealthCheckRequest* in) override {
    auto* writer = new QueuedWriter<hv1::HealthCheckResponse>();
    writer->finish_on_cancel();
    hv1::HealthCheckResponse response;
    response.set_status(in->service().empty() ? hv1::HealthCheckResponse::SERVING
                                              : hv1::HealthCheckResponse::SERVICE_UNKNOWN);
    writer->push(std::move(response));
    return writer;
  }
};

namespace tv1 = opentelemetry::proto::collector::trace::v1;

class TraceServer final : public tv1::TraceService::CallbackService {
 public:
  explicit TraceServer(const ServiceGround& ground) : ground_(ground) {}

 private:
  Unary* Export(Context* context, const tv1::ExportTraceServiceRequest* in, tv1::ExportTraceServiceResponse*) override {
    if (ground_.take_spans) ground_.take_spans(from_message(*in));
    return answer(context, ok());
  }
  ServiceGround ground_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_health_service() { return std::make_unique<HealthService>(); }

std::unique_ptr<grpc::Service> make_trace_service(const ServiceGround& ground) {
  return std::make_unique<TraceServer>(ground);
}

}  // namespace kiln::daemon
