// A phase tells its start and its end exactly once, whatever happens in between.
#include "event/event.h"

#include <gtest/gtest.h>

namespace kiln::event {
namespace {

class Recorder final : public Reporter {
 public:
  void log(LogStream, std::string_view) override {}
  void status(VertexStatus status) override { statuses.push_back(std::move(status)); }
  void warn(VertexWarning) override {}
  std::vector<VertexStatus> statuses;
};

TEST(Phase, TellsStartAndEndOnce) {
  Recorder recorder;
  {
    Phase phase(recorder, "pull", 10);
    phase.advance_to(3);
    phase.done();
  }
  ASSERT_EQ(recorder.statuses.size(), 2u);
  EXPECT_TRUE(recorder.statuses[0].started.has_value());
  EXPECT_FALSE(recorder.statuses[0].completed.has_value());
  EXPECT_TRUE(recorder.statuses[1].completed.has_value());
  EXPECT_EQ(recorder.statuses[1].current, 3);
}

}  // namespace
}  // namespace kiln::event
