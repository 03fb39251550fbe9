// The socket for spans of steps: daemons of one machine neither take it from each other nor remove it, and what
// others do to it is no step's trouble.
#include "daemon/trace_listener.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "host/fs.h"
#include "wire/otlp_trace_service.grpc.pb.h"

namespace kiln::daemon {
namespace {

std::unique_ptr<TraceListener> listener_at(const std::string& path) {
  return std::make_unique<TraceListener>(path, [] {
    return std::make_unique<opentelemetry::proto::collector::trace::v1::TraceService::CallbackService>();
  });
}

TEST(TraceListenerTest, DaemonsOfOneMachineLeaveEachOthersSocketsAlone) {
  const host::TempDir dir = host::TempDir::make("traces-").value();
  const std::string path = dir.path() + "/otel.sock";
  auto first = listener_at(path);
  EXPECT_EQ(first->path(), path);
  auto second = listener_at(path);
  const std::string other = second->path();
  EXPECT_NE(other, "");
  EXPECT_NE(other, path);
  second.reset();
  EXPECT_FALSE(host::exists(other));
  EXPECT_EQ(first->path(), path);
  first.reset();
  EXPECT_FALSE(host::exists(path));
}

TEST(TraceListenerTest, ASocketThatWasRemovedOrReplacedIsNotShown) {
  const host::TempDir dir = host::TempDir::make("traces-").value();
  const std::string path = dir.path() + "/otel.sock";
  auto first = listener_at(path);
  EXPECT_EQ(first->path(), path);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_EQ(first->path(), "");
  auto second = listener_at(path);
  EXPECT_EQ(second->path(), path);
  EXPECT_EQ(first->path(), "");
  first.reset();
  EXPECT_EQ(second->path(), path);
}

}  // namespace
}  // namespace kiln::daemon
