// The suite of all stores on those that need no server, and what is the local store's own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/thread.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/local_store.h"
#include "common/objectstore/memory_store.h"
#include "common/objectstore/open_store.h"
#include "tests/support/object_store_suite.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer {
namespace {

using testing::ObjectStoreSuite;
using testing::StoreParam;
using testing::TempDir;

// Wraps a memory store, so that the suite sees what the decorator makes of it.
std::unique_ptr<ObjectStore> MakeRetrying() {
  return std::make_unique<RetryingStore>(MakeMemoryStore(), Clock::Real(), RetryingStoreOptions());
}

INSTANTIATE_TEST_SUITE_P(
    All, ObjectStoreSuite,
    ::testing::Values(
        StoreParam{"local", [](const TempDir& dir) { return *OpenStore("file://" + (dir / "r")); }},
        StoreParam{"memory", [](const TempDir&) { return MakeMemoryStore(); }},
        StoreParam{"retrying", [](const TempDir&) { return MakeRetrying(); }}));

TEST(LocalStore, OpenedToReadMakesNoFolder) {
  const testing::TempDir dir;
  const auto absent = OpenStore("file://" + (dir / "none"), StoreUse::kRead);
  EXPECT_TRUE(HasReason(absent.status(), reason::kObjectNotFound)) << absent.status();
  EXPECT_FALSE(std::filesystem::exists(dir / "none"));
  EXPECT_TRUE(OpenStore("file://" + dir.path().string(), StoreUse::kRead).ok());
}

TEST(LocalStore, RefusesKeysThatLeaveTheRoot) {
  testing::TempDir dir;
  auto store = OpenLocalStore(dir.path().string());
  for (const char* key : {"../x", "a/../../x", "/etc/x", "", "a//b", "."})
    EXPECT_EQ((*store)->Put(key, "").code(), absl::StatusCode::kInvalidArgument) << key;
  EXPECT_EQ(OpenStore("ftp://host/x").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LocalStore, DoesNotListWhatIsOutsideTheRoot) {
  testing::TempDir dir;
  auto outside = OpenLocalStore(dir / "secret");
  ASSERT_OK((*outside)->Put("x", "1"));
  auto store = OpenLocalStore(dir / "root");
  for (const std::string& prefix : {std::string("../"), std::string("../secret/"),
                                    std::string("a/../../secret/"), dir / "secret/"}) {
    const auto listed = (*store)->List(prefix);
    EXPECT_EQ(listed.status().code(), absl::StatusCode::kInvalidArgument) << prefix;
  }
  ASSERT_OK((*store)->Put("a..b/c", "1"));
  EXPECT_EQ((*store)->List("a..")->size(), 1u);
}

// A trainer that is killed while it writes a checkpoint must not leave gigabytes that nobody lists.
TEST(LocalStore, OfAProcessThatIsKilledWhileItWritesNothingIsLeft) {
  testing::TempDir dir;
  const int probe = ::open(dir.path().c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644);
  if (probe < 0) GTEST_SKIP() << "the file system has no files without a name";
  ::close(probe);
  auto store = OpenLocalStore(dir.path().string());
  ASSERT_OK((*store)->Put("d/old", "x"));
  const pid_t child = ::fork();
  if (child == 0) {
    auto writer = (*store)->OpenWriter("d/new");
    const bool good = writer.ok() && (*writer)->Append(std::string(100'000, 'x')).ok();
    if (good) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path())) {
    EXPECT_TRUE(entry.is_directory() || entry.path().filename() == "old") << entry.path();
  }
}

// A folder goes with its last object, also while somebody else is about to write into it.
TEST(LocalStore, AWriterDoesNotLoseItsFolderToADeletion) {
  testing::TempDir dir;
  auto store = OpenLocalStore(dir.path().string());
  std::atomic<bool> stop{false};
  std::vector<Thread> others;
  for (const std::string key : {"d/e/one", "d/two"}) {
    others.emplace_back("writer", [&, key] {
      while (!stop) {
        EXPECT_OK((*store)->Put(key, "x"));
        EXPECT_OK((*store)->Delete(key));
      }
    });
  }
  for (int i = 0; i < 300 && !HasFailure(); ++i) {
    EXPECT_OK((*store)->Put("d/e/three", "x"));
    EXPECT_OK((*store)->List(""));
    EXPECT_OK((*store)->Delete("d/e/three"));
  }
  stop = true;
}

}  // namespace
}  // namespace seer
