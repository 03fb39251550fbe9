// Giving memory back unmaps most of the program's own pages, and everything still works.
#include "host/idle_memory.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"
#include "base/value.h"
#include "host/fs.h"

namespace kiln::host {
namespace {

// Kilobytes of files that are mapped and present.
std::int64_t file_pages() {
  const std::string status = *read_file("/proc/self/status", 8192);
  std::int64_t sum = 0;
  for (std::string_view line : split(status, '\n')) {
    if (!line.starts_with("RssFile:") && !line.starts_with("RssShmem:")) continue;
    sum += parse_integer(words(line)[1]).value_or(0);
  }
  return sum;
}

TEST(IdleMemory, PagesOfTheProgramGoAndComeBack) {
  const std::int64_t before = file_pages();
  give_back_memory();
  const std::int64_t after = file_pages();
  ASSERT_GT(before, 0);
  EXPECT_LT(after, before);
  EXPECT_EQ(join(split("a,b", ','), "-"), "a-b");
}

}  // namespace
}  // namespace kiln::host
