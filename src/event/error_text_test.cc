// What a vertex that failed says, and that one that was cancelled is told from it.
#include "event/error_text.h"

#include <gtest/gtest.h>

namespace kiln::event {
namespace {

TEST(ErrorText, is_empty_for_success_alone) {
  EXPECT_EQ(error_text(ok()), "");
  EXPECT_EQ(error_text(user_error(Code::kNotFound, "no such file")), "no such file");
  EXPECT_NE(error_text(peer_error(Code::kUnimplemented, "")), "");
}

TEST(ErrorText, ends_for_a_cancelled_step_as_clients_look_for_it) {
  EXPECT_EQ(error_text(cancelled()), "context canceled");
  EXPECT_EQ(error_text(cancelled("context canceled")), "context canceled");
  EXPECT_EQ(error_text(cancelled("the frontend left")), "the frontend left: context canceled");
}

}  // namespace
}  // namespace kiln::event
