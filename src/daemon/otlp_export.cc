#include "daemon/otlp_export.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "base/text.h"
#include "base/value.h"
#include "daemon/otlp_messages.h"
#include "daemon/status_wire.h"
#include "host/fs.h"
#include "wire/otlp_trace_service.grpc.pb.h"

namespace kiln::daemon {
namespace {

namespace collector = opentelemetry::proto::collector::trace::v1;
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

struct Options {
  std::string endpoint;
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::milliseconds timeout{10'000};
  std::string certificate;  // PEM file
  bool insecure = false;
  std::vector<observe::Attribute> resource;
};

// The variable for traces, else the one for everything.
std::string setting(const Environment& environment, std::string_view name) {
  auto own = environment(fmt::format("OTEL_EXPORTER_OTLP_TRACES_{}", name));
  if (own && !own->empty()) return *own;
  return environment(fmt::format("OTEL_EXPORTER_OTLP_{}", name)).value_or("");
}

std::vector<std::pair<std::string, std::string>> pairs_of(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  for (std::string_view pair : split(text, ',')) {
    auto [key, value] = split_once(pair, '=');
    if (!trim(key).empty()) out.emplace_back(trim(key), trim(value));
  }
  return out;
}

// What failed is told once a run of failures: a collector that is away must not fill the log.
class Complaint {
 public:
  void tell(const std::string& endpoint, const Status& status) {
    if (!status.ok() && !failing_) log_warn("traces do not reach '{}': {}", endpoint, message_of(status));
    if (status.ok() && failing_) log_info("traces reach '{}' again", endpoint);
    failing_ = !status.ok();
  }

 private:
  bool failing_ = false;
};

class GrpcExporter final : public SpanExporter {
 public:
  GrpcExporter(Options options, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)), stub_(collector::TraceService::NewStub(std::move(channel))) {}

  void send(const std::vector<observe::Span>& spans) override {
    collector::ExportTraceServiceRequest request;
    to_message(spans, options_.resource, request);
    collector::ExportTraceServiceResponse response;
    grpc::ClientContext context;
    for (const auto& [key, value] : options_.headers) context.AddMetadata(to_lower(key), value);
    context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
    const grpc::Status status = stub_->Export(&context, request, &response);
    complaint_.tell(options_.endpoint, status.ok() ? ok() : peer_error(Code::kUnavailable, status.error_message()));
  }

 private:
  Options options_;
  std::unique_ptr<collector::TraceService::Stub> stub_;
  Complaint complaint_;
};

class HttpExporter final : public SpanExporter {
 public:
  HttpExporter(Options options, registry::Transport& transport) : options_(std::move(options)), transport_(transport) {}

  void send(const std::vector<observe::Span>& spans) override {
    collector::ExportTraceServiceRequest message;
    to_message(spans, options_.resource, message);
    registry::Request request;
    request.method = "POST";
    request.url = options_.endpoint;
    request.headers.set("Content-Type", "application/x-protobuf");
    for (const auto& [key, value] : options_.headers) request.headers.set(key, value);
    request.body_text = message.SerializeAsString();
    request.connect_timeout = request.idle_timeout = options_.timeout;
    if (!options_.certificate.empty()) request.tls.ca_files = {options_.certificate};
    auto response = transport_.send(request, {});
    Status status = response.status();
    if (response.ok() && (*response)->status / 100 != 2) {
      status = peer_error(Code::kUnavailable, fmt::format("the collector answers {}", (*response)->status));
    }
    complaint_.tell(options_.endpoint, status);
  }

 private:
  Options options_;
  registry::Transport& transport_;
  Complaint complaint_;
};

Result<std::unique_ptr<SpanExporter>> open_grpc(Options options) {
  std::string target = options.endpoint.empty() ? "http://localhost:4317" : options.endpoint;
  options.endpoint = target;
  bool secure = !options.insecure;
  if (const std::size_t scheme = target.find("://"); scheme != std::string::npos) {
    secure = target.starts_with("https://");
    if (target.starts_with("http")) target = target.substr(scheme + 3);
  }
  while (target.ends_with('/')) target.pop_back();
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (secure) {
    grpc::SslCredentialsOptions ssl;
    if (!options.certificate.empty()) {
      KILN_ASSIGN_OR_RETURN(ssl.pem_root_certs, host::read_file(options.certificate));
    }
    credentials = grpc::SslCredentials(ssl);
  }
  auto channel = grpc::CreateChannel(target, credentials);
  return std::unique_ptr<SpanExporter>(std::make_unique<GrpcExporter>(std::move(options), std::move(channel)));
}

std::string http_endpoint(const Environment& environment) {
  if (auto own = environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); own && !own->empty()) return *own;
  std::string base = environment("OTEL_EXPORTER_OTLP_ENDPOINT").value_or("http://localhost:4318");
  while (base.ends_with('/')) base.pop_back();
  return base + "/v1/traces";
}

Options read_options(const Environment& environment) {
  Options options;
  options.endpoint = setting(environment, "ENDPOINT");
  options.headers = pairs_of(setting(environment, "HEADERS"));
  options.certificate = setting(environment, "CERTIFICATE");
  options.insecure = parse_bool(setting(environment, "INSECURE")).value_or(false);
  if (auto timeout = parse_integer(setting(environment, "TIMEOUT")); timeout && *timeout > 0) {
    options.timeout = std::chrono::milliseconds(*timeout);
  }
  for (const auto& [key, value] : pairs_of(environment("OTEL_RESOURCE_ATTRIBUTES").value_or(""))) {
    options.resource.emplace_back(key, value);
  }
  options.resource.emplace_back("service.name", environment("OTEL_SERVICE_NAME").value_or("buildkitd"));
  return options;
}

}  // namespace

Result<std::unique_ptr<SpanExporter>> open_span_exporter(const Environment& environment,
                                                         registry::Transport& transport) {
  const std::string kind = environment("OTEL_TRACES_EXPORTER").value_or("");
  if (!kind.empty() && kind != "otlp" && kind != "none") {
    return user_error(Code::kInvalidArgument,
                      fmt::format("unsupported OTEL_TRACES_EXPORTER '{}'; use otlp or none", kind));
  }
  Options options = read_options(environment);
  if (kind == "none" || (kind.empty() && options.endpoint.empty())) return std::unique_ptr<SpanExporter>();
  const std::string protocol = setting(environment, "PROTOCOL");
  if (protocol.empty() || protocol == "grpc") return open_grpc(std::move(options));
  if (protocol != "http/protobuf")
    return user_error(Code::kInvalidArgument, fmt::format("unsupported otlp protocol {}", protocol));
  options.endpoint = http_endpoint(environment);
  return std::unique_ptr<SpanExporter>(std::make_unique<HttpExporter>(std::move(options), transport));
}

}  // namespace kiln::daemon
