// Spans and OTLP's messages.
#pragma once

#include <vector>

#include "observe/span.h"

namespace opentelemetry::proto::collector::trace::v1 {
class ExportTraceServiceRequest;
}

namespace kiln::daemon {

std::vector<observe::Span> from_message(
    const opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest& in);
// `resource`: who made the spans that do not say it themselves.
void to_message(const std::vector<observe::Span>& spans, const std::vector<observe::Attribute>& resource,
                opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest& out);

}  // namespace kiln::daemon
