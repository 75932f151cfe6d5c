#include "worker/agent/oom_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

class OomWatchTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = dir_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void Cgroup(int kills) {
    Write("proc/self/cgroup", "0::/system.slice/worker\n");
    Write("sys/fs/cgroup/system.slice/worker/memory.events",
          absl::StrCat("low 0\nhigh 3\nmax 9\noom 2\noom_kill ", kills, "\noom_group_kill 0\n"));
  }
  testing::TempDir dir_;
};

TEST_F(OomWatchTest, EachKillOfTheCgroupIsTakenOnce) {
  Cgroup(4);
  Write("proc/vmstat", "nr_free_pages 5\noom_kill 100\n");
  OomWatch watch(dir_.path());
  EXPECT_FALSE(watch.TakeOne()) << "those were before";
  Cgroup(6);
  EXPECT_TRUE(watch.TakeOne());
  EXPECT_TRUE(watch.TakeOne());
  EXPECT_FALSE(watch.TakeOne());
  Cgroup(7);
  watch.Forget();
  EXPECT_FALSE(watch.TakeOne());
}

TEST_F(OomWatchTest, WithoutACgroupTheMachinesCounterIsTaken) {
  Write("proc/self/cgroup", "4:memory:/docker/abc\n1:cpu:/docker/abc\n");
  Write("proc/vmstat", "nr_free_pages 5\noom_kill 1\npgfault 12345678901\n");
  OomWatch watch(dir_.path());
  EXPECT_FALSE(watch.TakeOne());
  Write("proc/vmstat", "nr_free_pages 5\noom_kill 2\npgfault 12345678901\n");
  EXPECT_TRUE(watch.TakeOne());
  EXPECT_FALSE(watch.TakeOne());
}

TEST_F(OomWatchTest, AKernelWithoutCountersSeesNoKill) {
  OomWatch watch(dir_.path());
  EXPECT_FALSE(watch.TakeOne());
}

}  // namespace
}  // namespace seer::worker
