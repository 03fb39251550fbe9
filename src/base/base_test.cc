// What every room relies on: statuses keep their details, digests are checked, the pool finishes
// its work, platforms normalise as containerd does.
#include <gtest/gtest.h>

#include <atomic>

#include "base/clock.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/platform.h"
#include "base/pool.h"
#include "base/status.h"
#include "base/stream.h"
#include "base/timestamp.h"

namespace kiln {
namespace {

TEST(Status, AnnotateKeepsCodeFaultAndDetails) {
  Status status = user_error(Code::kNotFound, "no such file");
  set_detail(status, "x/y", "bytes");
  Status outer = annotate(status, "read 'Dockerfile'");
  EXPECT_EQ(outer.code(), Code::kNotFound);
  EXPECT_EQ(outer.message(), "read 'Dockerfile': no such file");
  EXPECT_EQ(fault_of(outer), Fault::kUser);
  EXPECT_EQ(get_detail(outer, "x/y"), "bytes");
}

TEST(Status, ErrnoTravels) {
  Status status = errno_error(ENOSPC, "write 'x'");
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(errno_of(status), ENOSPC);
}

TEST(Digest, OfAndParse) {
  Digest d = Digest::of("abc");
  EXPECT_EQ(d.str(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(*Digest::parse(d.str()), d);
  auto error = [](const char* text) { return std::string(message_of(Digest::parse(text).status())); };
  EXPECT_EQ(error("sha256:xyz"),
            "invalid digest 'sha256:xyz': invalid checksum digest length; expected 64 lower-case hex digits");
  EXPECT_EQ(error("md5:aa"), "invalid digest 'md5:aa': unsupported digest algorithm");
  EXPECT_EQ(d.algorithm(), "sha256");
  EXPECT_EQ(d.hex().size(), 64u);
}

TEST(Platform, ParsesAndNormalises) {
  EXPECT_EQ(Platform::parse("linux/aarch64")->str(), "linux/arm64");
  EXPECT_EQ(Platform::parse("linux/arm")->str(), "linux/arm/v7");
  EXPECT_EQ(Platform::parse("linux/x86_64")->str(), "linux/amd64");
  EXPECT_EQ(Platform::parse("windows(10.0.17763)/amd64")->os_version, "10.0.17763");
  EXPECT_EQ(message_of(Platform::parse("a/b/c/d").status()),
            "\"a/b/c/d\": cannot parse platform specifier; expected os/architecture[/variant]: invalid argument");
  EXPECT_EQ(message_of(Platform::parse("bogus").status()),
            "\"bogus\": unknown operating system or architecture: invalid argument");
  EXPECT_FALSE(Platform::parse("").ok());
  std::vector<Platform> have = {*Platform::parse("linux/arm/v6"), *Platform::parse("linux/amd64")};
  EXPECT_EQ(best_platform(have, *Platform::parse("linux/arm/v7")), 0);
  EXPECT_EQ(best_platform(have, *Platform::parse("linux/s390x")), -1);
}

TEST(Clock, ReadsDurationsAsGoDoes) {
  using namespace std::chrono_literals;
  EXPECT_EQ(*parse_duration("1h2m3.5s"), 1h + 2min + 3500ms);
  EXPECT_EQ(*parse_duration("-.5ms"), -500us);
  EXPECT_EQ(*parse_duration("+1us2\u00b5s3\u03bcs4ns"), 6004ns);
  EXPECT_EQ(*parse_duration("0"), 0s);
  EXPECT_EQ(*parse_duration("9223372036854775807ns"), std::chrono::nanoseconds::max());
  EXPECT_EQ(*parse_duration("-9223372036854775808ns"), std::chrono::nanoseconds::min());
  auto error = [](const char* text) { return std::string(message_of(parse_duration(text).status())); };
  EXPECT_EQ(error("5"), "time: missing unit in duration \"5\"");
  EXPECT_EQ(error("1d"), "time: unknown unit \"d\" in duration \"1d\"");
  for (const char* text : {"", "-", "s", ".s", "1s.", "inf", "9999999999h", "9223372036854775808ns"})
    EXPECT_EQ(error(text), fmt::format("time: invalid duration \"{}\"", text));
}

TEST(Pool, RunsEverythingAndDrains) {
  std::atomic<int> count = 0;
  Pool pool(8);
  for (int i = 0; i < 100; ++i) pool.submit([&] { ++count; });
  pool.drain();
  EXPECT_EQ(count, 100);
}

TEST(Clock, WaitIsCancelled) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(is_cancelled(wait_for(stop.get_token(), std::chrono::hours(1))));
}

TEST(Clock, Rfc3339RoundTrip) {
  auto t = parse_rfc3339("2026-11-23T08:32:00.5Z");
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(format_rfc3339(*t), "2026-11-23T08:32:00.5Z");
}

TEST(Stream, ReadAllRefusesTheOversized) {
  StringSource source(std::string(100, 'x'));
  EXPECT_EQ(read_all(source, 10).status().code(), Code::kResourceExhausted);
}

TEST(Id, IsLongAndDifferent) {
  EXPECT_EQ(new_id().size(), 25u);
  EXPECT_NE(new_id(), new_id());
}

TEST(Timestamp, TakesTheNearestTimeThatThereIs) {
  EXPECT_EQ(format_rfc3339(timestamp(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_rfc3339(timestamp(-1, 500'000'000)), "1969-12-31T23:59:59.5Z");
  EXPECT_EQ(format_rfc3339(timestamp(INT64_MAX, INT64_MAX)), "2262-04-11T23:47:15.999999999Z");
  EXPECT_EQ(format_rfc3339(timestamp(INT64_MIN, INT64_MIN)), "1677-09-21T00:12:45Z");
}

}  // namespace
}  // namespace kiln
