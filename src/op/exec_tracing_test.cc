// Steps of a traced build find the trace and the socket; others are left alone.
#include "op/exec_tracing.h"

#include <gtest/gtest.h>

namespace kiln::op {
namespace {

TEST(ExecTracing, GivesTheTraceAndASocketToHandSpansTo) {
  OpPorts ports;
  ports.trace_parent = "00-aa-bb-01";
  ports.trace_socket = [] { return std::string("/run/traces.sock"); };
  sandbox::ContainerSpec container;
  sandbox::ProcessSpec process{.env = {"OTEL_TRACES_EXPORTER=none"}};
  add_tracing(ports, container, process);
  EXPECT_EQ(process.env,
            (std::vector<std::string>{"OTEL_TRACES_EXPORTER=none",
                                      "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=unix:///dev/otel-grpc.sock",
                                      "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "TRACEPARENT=00-aa-bb-01"}));
  ASSERT_EQ(container.mounts.size(), 1u);
  EXPECT_EQ(container.mounts[0].what.source, "/run/traces.sock");
  EXPECT_TRUE(container.mounts[0].what.readonly());
}

TEST(ExecTracing, LeavesAloneWhatIsNotTraced) {
  for (const char* parent : {"", "00-aa-bb-01"}) {
    OpPorts ports;
    ports.trace_parent = parent;
    ports.trace_socket = [] { return std::string(); };
    sandbox::ContainerSpec container;
    sandbox::ProcessSpec process;
    add_tracing(ports, container, process);
    EXPECT_TRUE(process.env.empty());
    EXPECT_TRUE(container.mounts.empty());
  }
}

}  // namespace
}  // namespace kiln::op
