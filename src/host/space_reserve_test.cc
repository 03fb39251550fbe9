// The reserve is made when a loan ends, and is only given away when the disk is nearly full.
#include "host/space_reserve.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fs.h"

namespace kiln::host {
namespace {

std::int64_t size_of(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : -1;
}

TEST(SpaceReserve, IsMadeWhenTheFirstLoanEndsAndStaysWhileThereIsRoom) {
  auto dir = TempDir::make("kiln-reserve-test-");
  ASSERT_TRUE(dir.ok());
  const std::string path = dir->path() + "/reserve";
  SpaceReserve reserve(path);
  { auto loan = reserve.lend(); }
  EXPECT_EQ(size_of(path), SpaceReserve::kBytes);
  auto loan = reserve.lend();
  EXPECT_EQ(size_of(path), SpaceReserve::kBytes);
}

TEST(SpaceReserve, GivesAFullDiskRoomAndTakesItBack) {
  auto dir = TempDir::make("kiln-reserve-test-");
  ASSERT_TRUE(dir.ok());
  if (::mount("tmpfs", dir->path().c_str(), "tmpfs", 0, "size=16m") != 0) GTEST_SKIP() << "may not mount";
  const std::string path = dir->path() + "/reserve", filler = dir->path() + "/filler";
  {
    SpaceReserve reserve(path);
    { auto loan = reserve.lend(); }
    Fd full = *open_file(filler, O_WRONLY | O_CREAT);
    while (write_all(full.get(), std::string(1 << 16, 'x')).ok()) {
    }
    EXPECT_EQ(disk_space(dir->path())->available, 0);
    {
      auto loan = reserve.lend();
      auto second = reserve.lend();
      EXPECT_EQ(size_of(path), -1);
      EXPECT_GE(disk_space(dir->path())->available, SpaceReserve::kBytes);
      ASSERT_EQ(::truncate(filler.c_str(), 0), 0);
    }
    EXPECT_EQ(size_of(path), SpaceReserve::kBytes);
  }
  ::umount(dir->path().c_str());
}

}  // namespace
}  // namespace kiln::host
