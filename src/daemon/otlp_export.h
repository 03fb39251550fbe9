// Spans to an OpenTelemetry collector, as the standard's environment variables say:
//
//   OTEL_TRACES_EXPORTER=otlp|none · OTEL_EXPORTER_OTLP[_TRACES]_ENDPOINT, _PROTOCOL (grpc, http/protobuf),
//   _HEADERS, _TIMEOUT, _INSECURE, _CERTIFICATE · OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
//
//   KILN_ASSIGN_OR_RETURN(auto exporter, open_span_exporter(lookup, transport));   // null: not wanted
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "daemon/afterwords.h"
#include "registry/http.h"

namespace kiln::daemon {

// InvalidArgument for a protocol or an exporter that is not known. `transport` outlives it.
Result<std::unique_ptr<SpanExporter>> open_span_exporter(
    const std::function<std::optional<std::string>(std::string_view name)>& environment,
    registry::Transport& transport);

}  // namespace kiln::daemon
