// The disk runs full during a checkpoint: a small file system of its own holds the cluster's
// storage, in a mount namespace that ends with this process.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/mounts.h"
#include "tests/support/image_files.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class DiskFullTest : public ::testing::Test {
 protected:
  static constexpr int64_t kDiskBytes = 4 << 20;

  void SetUp() override {
    fs::create_directories(storage());
    if (const std::string missing = OwnMounts(); !missing.empty()) GTEST_SKIP() << missing;
    if (mount("tmpfs", storage().c_str(), "tmpfs", 0, absl::StrCat("size=", kDiskBytes).c_str()) !=
        0)
      GTEST_SKIP() << "cannot mount a tmpfs: " << std::strerror(errno);
    mounted_ = true;
    const Result up = cluster_.Up("--workers 2");
    ASSERT_EQ(up.code, 0) << up.out;
    testing::WriteLabelledFolder(cluster_.root() / "images", 4, 20, 16);
    ASSERT_EQ(cluster_.Seer("pool create digits").code, 0);
    ASSERT_EQ(cluster_.Seer("pool ingest digits " + (cluster_.root() / "images").string()).code, 0);
    WaitFor([&] { return absl::StrContains(cluster_.Seer("worker list").out, "worker-1"); });
  }
  void TearDown() override {
    if (!mounted_) return;
    cluster_.Seer("cluster down");
    EXPECT_EQ(umount(storage().c_str()), 0) << std::strerror(errno);
  }

  fs::path storage() const { return cluster_.home() / "storage"; }
  fs::path filler() const { return storage() / "filler"; }
  int64_t FreeBytes() const {
    struct statvfs info {};
    EXPECT_EQ(statvfs(storage().c_str(), &info), 0);
    return static_cast<int64_t>(info.f_bavail * info.f_bsize);
  }
  // Takes all but `rest` bytes of the disk.
  void Fill(int64_t rest) const {
    std::ofstream(filler()) << std::string(static_cast<size_t>(FreeBytes() - rest), 'x');
    ASSERT_LE(FreeBytes(), rest);
  }
  std::string Events(const std::string& job) const {
    return cluster_.Seer("job events " + job).out;
  }

  Cluster cluster_;
  bool mounted_ = false;
};

TEST_F(DiskFullTest, TheJobSaysSoRetriesAndGoesOnOnceThereIsSpace) {
  // It keeps all its checkpoints, so what is left of the disk runs full by itself.
  Fill(int64_t{1} << 20);
  const std::string job = cluster_.Submit(
      "--set optim.steps=200 --set checkpoint.everySteps=5 --set checkpoint.keepLast=1000 "
      "--name full");
  std::string described;  // while it waits for its next attempt
  WaitFor([&] {
    described = cluster_.Seer("job describe " + job).out;
    return absl::StrContains(described, "RESTARTING");
  });
  EXPECT_TRUE(absl::StrContains(described, "DISK_FULL")) << described;
  EXPECT_TRUE(absl::StrContains(described, "No space left on device")) << described;
  const std::string events = Events(job);
  EXPECT_TRUE(absl::StrContains(events, "RUNNING -> RESTARTING")) << events;
  EXPECT_TRUE(absl::StrContains(events, "DISK_FULL")) << events;
  EXPECT_TRUE(absl::StrContains(events, "rank-")) << "names the file:\n" << events;

  // What was committed before is whole, and nothing half-written is shown or left.
  const json checkpoints = cluster_.Json("checkpoint list " + job);
  ASSERT_GE(checkpoints.size(), 1u) << events;
  const Result verified =
      cluster_.Seer("checkpoint verify " + checkpoints[0]["name"].get<std::string>());
  EXPECT_EQ(verified.code, 0) << verified.out;

  fs::remove(filler());
  ASSERT_EQ(mount("tmpfs", storage().c_str(), "tmpfs", MS_REMOUNT, "size=256m"), 0);
  ASSERT_EQ(cluster_.Wait(job).code, 0) << Events(job);
  EXPECT_EQ(cluster_.Step(job), 200);
  const json all = cluster_.Json("checkpoint list " + job);
  EXPECT_EQ(all.size(), 40u) << "none is missing";
  for (const size_t i : {size_t{0}, all.size() - 1})
    EXPECT_EQ(cluster_.Seer("checkpoint verify " + all[i]["name"].get<std::string>()).code, 0);
  for (const auto& entry : fs::recursive_directory_iterator(storage()))
    EXPECT_FALSE(absl::StartsWith(entry.path().filename().string(), ".tmp-")) << entry.path();
}

TEST_F(DiskFullTest, AfterItsRetriesTheJobFailsAndAnotherOneSucceedsLater) {
  Fill(0);
  const std::string job = cluster_.Submit("--set failure.maxRestarts=1 --name hopeless");
  const Result waited = cluster_.Wait(job);
  EXPECT_EQ(waited.code, 100) << waited.out;
  EXPECT_TRUE(absl::StrContains(waited.out, "No space left on device")) << waited.out;
  const json described = cluster_.Describe(job);
  EXPECT_EQ(described["attempt"], 2) << described;
  EXPECT_TRUE(absl::StrContains(Events(job), "DISK_FULL")) << Events(job);
  EXPECT_EQ(cluster_.Json("checkpoint list " + job).size(), 0u);
  // The disk of the database is another one: the cluster serves on.
  fs::remove(filler());
  const std::string next = cluster_.Submit("--name hopeful");
  EXPECT_EQ(cluster_.Wait(next).code, 0) << Events(next);
}

}  // namespace
}  // namespace seer::e2e
