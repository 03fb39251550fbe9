// Architectures are known by running programs of theirs.
#include "sandbox/foreign_programs.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace kiln::sandbox {
namespace {

TEST(Architectures, RunATinyProgramOfTheirOwn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const Platform own = Platform::host().normalized();
  EXPECT_TRUE(runs(own.architecture));
  EXPECT_FALSE(runs("nonsense"));
  const Architectures architectures(std::chrono::hours(1));
  EXPECT_EQ(architectures.platforms().front(), own);
  EXPECT_TRUE(architectures.can_run(own));
  EXPECT_FALSE(architectures.can_run({.os = "linux", .architecture = "sparc64"}));
}

TEST(Architectures, HaveProgramsThatAreWellFormed) {
  for (std::string_view architecture : known_architectures()) {
    const std::string program = tiny_program(architecture);
    ASSERT_GT(program.size(), 80u) << architecture;
    EXPECT_TRUE(
        program.starts_with("\x7f"
                            "ELF"))
        << architecture;
    EXPECT_LT(program.size(), 140u) << architecture;
  }
}

}  // namespace
}  // namespace kiln::sandbox
