// Errors on the wire: that Go programs find what they look for, and that nothing is lost on the way
// through the gateway and back.
#include "daemon/status_wire.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "wire/errdefs.pb.h"
#include "wire/gateway.pb.h"
#include "wire/rpc_status.pb.h"

namespace kiln::daemon {
namespace {

google::rpc::Status details_of(const grpc::Status& status) {
  google::rpc::Status out;
  EXPECT_TRUE(out.ParseFromString(status.error_details()));
  return out;
}

TEST(StatusWire, DetailsTravelAsJsonUnderBuildKitsTypeNames) {
  Status status = user_error(Code::kUnknown, "failed");
  errdefs::Source source;
  source.mutable_info()->set_filename("Dockerfile");
  source.mutable_info()->set_data("RUN x\n");
  source.add_ranges()->mutable_start()->set_line(3);
  set_detail(status, kDetailSource, source.SerializeAsString());
  errdefs::CompatibilityFeature feature;
  feature.set_version(20);
  set_detail(status, kDetailCompatibility, feature.SerializeAsString());

  const grpc::Status wire = to_grpc(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::UNKNOWN);
  const google::rpc::Status details = details_of(wire);
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_EQ(details.details(0).type_url(), "github.com/moby/buildkit/errdefs.CompatibilityFeature+json");
  // A number, not a string: encoding/json would refuse the latter.
  EXPECT_EQ(nlohmann::json::parse(details.details(0).value()), (nlohmann::json{{"version", 20}}));
  EXPECT_EQ(details.details(1).type_url(), "github.com/moby/buildkit/errdefs.Source+json");
  EXPECT_EQ(
      nlohmann::json::parse(details.details(1).value()),
      nlohmann::json::parse(R"({"info":{"filename":"Dockerfile","data":"UlVOIHgK"},"ranges":[{"start":{"line":3}}]})"));
}

TEST(StatusWire, EverythingSurvivesTheWayThereAndBack) {
  Status status = user_error(Code::kPermissionDenied, "no");
  for (const char* name : {"a", "b"}) {
    errdefs::Frontend frontend;
    frontend.set_name(name);
    add_detail(status, kDetailFrontend, frontend.SerializeAsString());
  }
  errdefs::Solve solve;
  solve.add_inputids("i");
  solve.mutable_op()->mutable_exec()->mutable_meta()->add_args("sh");
  solve.mutable_op()->mutable_exec()->add_mounts()->set_output(-1);
  solve.mutable_file()->set_index(2);
  set_detail(status, kDetailSolve, solve.SerializeAsString());
  set_detail(status, "type.googleapis.com/other.Thing", std::string("\x01\x00\xff", 3));

  const Status back = from_grpc(to_grpc(from_grpc(to_grpc(status))));
  EXPECT_EQ(back.code(), Code::kPermissionDenied);
  EXPECT_EQ(message_of(back), "no");
  EXPECT_EQ(get_detail(back, kDetailSolve), solve.SerializeAsString());
  EXPECT_EQ(get_detail(back, "type.googleapis.com/other.Thing"), std::string("\x01\x00\xff", 3));
  int frontends = 0;
  const google::rpc::Status details = details_of(to_grpc(back));
  for (const auto& detail : details.details()) {
    if (detail.type_url() != "github.com/moby/buildkit/errdefs.Frontend+json") continue;
    // Added last, outermost for clients.
    if (frontends == 0) {
      EXPECT_NE(detail.value().find("\"b\""), std::string::npos) << detail.value();
    }
    ++frontends;
  }
  EXPECT_EQ(frontends, 2);
}

TEST(StatusWire, AFailingMachineIsAnInternalErrorAndTextIsMadeValid) {
  EXPECT_EQ(to_grpc(errno_error(EIO, "read")).error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(to_grpc(errno_error(ENOSPC, "write")).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(to_grpc(errno_error(ENOENT, "open")).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(to_grpc(user_error(Code::kUnknown, "a\xff")).error_message(), "a\xEF\xBF\xBD");
}

TEST(StatusWire, AFailedBuildHasNoCodeButThoseThatMeanSomething) {
  auto code = [](const Status& status) { return to_grpc(without_code(status)).error_code(); };
  Status failure = user_error(Code::kInvalidArgument, "unknown instruction: FORM");
  set_detail(failure, kDetailSource, "\x12\x02\n\x00");
  EXPECT_EQ(code(failure), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(to_grpc(without_code(failure)).error_message(), "unknown instruction: FORM");
  EXPECT_TRUE(get_detail(without_code(failure), kDetailSource));
  EXPECT_EQ(code(user_error(Code::kNotFound, "x")), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(code(cancelled()), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(code(errno_error(ENOSPC, "write")), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(code(ok()), grpc::StatusCode::OK);
  set_detail(failure, kDetailCodeIsMeant, "1");
  EXPECT_EQ(code(failure), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(StatusWire, NonsenseFromAClientIsKeptAndDoesNoHarm) {
  google::rpc::Status in;
  in.set_code(13);
  auto* any = in.add_details();
  any->set_type_url("github.com/moby/buildkit/errdefs.Solve+json");
  any->set_value("{not json");
  const Status status = from_proto(in);
  google::rpc::Status out;
  to_proto(status, out);
  ASSERT_EQ(out.details_size(), 1);
  EXPECT_EQ(out.details(0).value(), "{not json");
}

// A field of an HTTP/2 head has 64 KiB at most.
TEST(StatusWire, LargeErrorsAreCutToWhatFits) {
  errdefs::Source source;
  std::string text;
  for (int line = 1; line <= 4000; ++line) text += "LABEL number=" + std::to_string(line) + "\n";
  source.mutable_info()->set_filename("Dockerfile");
  source.mutable_info()->set_data(text);
  source.add_ranges()->mutable_start()->set_line(3000);
  source.mutable_ranges(0)->mutable_end()->set_line(3001);
  Status status = user_error(Code::kInvalidArgument, std::string(100'000, 'm'));
  add_detail(status, kDetailSource, source.SerializeAsString());
  add_detail(status, kDetailVertex, std::string(100'000, 'v'));
  const grpc::Status sent = to_grpc(status);
  EXPECT_LT(sent.error_message().size(), 20'000u);
  EXPECT_LT(sent.error_details().size(), 60'000u * 3 / 4);
  const Status back = from_grpc(sent);
  EXPECT_EQ(back.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(get_detail(back, kDetailSource));
  ASSERT_TRUE(source.ParseFromString(*get_detail(back, kDetailSource)));
  const std::vector<std::string_view> lines = split(source.info().data(), '\n');
  ASSERT_GT(lines.size(), 3010u);
  EXPECT_EQ(lines[2999], "LABEL number=3000");
  EXPECT_EQ(lines[0], "");
  EXPECT_FALSE(get_detail(back, kDetailVertex));
}

}  // namespace
}  // namespace kiln::daemon
