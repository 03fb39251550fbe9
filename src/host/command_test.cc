// Programs of the host are run to their end with input, output, a timeout and a stop; locks in a file
// are seen by other holders and vanish with them.
#include "host/command.h"

#include <gtest/gtest.h>

#include "host/fs.h"
#include "host/shared_lock.h"

namespace kiln::host {
namespace {

using namespace std::chrono_literals;

TEST(Command, GivesInputAndTakesOutputWithoutBlockingOnEither) {
  const std::string text(1 << 20, 'x');
  const auto done = run_command(
      {.args = {"sh", "-c", "cat; echo $KILN_A >&2; exit 3"}, .env = {"KILN_A=1", "KILN_A=2"}, .input = text}, {});
  ASSERT_TRUE(done.ok()) << message_of(done.status());
  EXPECT_EQ(done->code, 3);
  EXPECT_EQ(done->output, text);
  EXPECT_EQ(done->errors, "2\n");
}

TEST(Command, EndsWithItsProgramThoughAGrandchildKeepsThePipe) {
  const auto done = run_command({.args = {"sh", "-c", "sleep 20 & echo said"}, .timeout = 5s}, {});
  ASSERT_TRUE(done.ok()) << message_of(done.status());
  EXPECT_EQ(done->output, "said\n");
}

TEST(Command, IsKilledByATimeoutOrAStop) {
  EXPECT_EQ(run_command({.args = {"sleep", "20"}, .timeout = 50ms}, {}).status().code(), Code::kDeadlineExceeded);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(is_cancelled(run_command({.args = {"sleep", "20"}}, stop.get_token()).status()));
}

TEST(Command, SaysWhatCouldNotBeStarted) {
  const auto done = run_command({.args = {"/nowhere/program"}}, {});
  EXPECT_TRUE(is_not_found(done.status())) << message_of(done.status());
  EXPECT_EQ(find_program("kiln-no-such-program"), std::nullopt);
  EXPECT_TRUE(find_program("sh").has_value());
}

TEST(SharedLock, StandsBetweenHoldersOfPlaces) {
  const TempDir folder = *TempDir::make("kiln-lock-");
  const SharedLock one = *SharedLock::open(folder.path() + "/deep/lock");
  {
    const SharedLock two = *SharedLock::open(folder.path() + "/deep/lock");
    EXPECT_TRUE(one.share(0).ok());
    EXPECT_TRUE(two.share(0).ok());
    EXPECT_FALSE(one.take(0));
    EXPECT_TRUE(two.take(7));
    EXPECT_FALSE(one.take(7));
    two.give(7);
    EXPECT_TRUE(one.take(7));
  }
  EXPECT_TRUE(one.take(0)) << "the other holder is gone";
}

}  // namespace
}  // namespace kiln::host
