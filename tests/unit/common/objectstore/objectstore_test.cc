// One suite for every store: the real one and the fake behave alike.
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
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer {
namespace {

class ObjectStoreTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "local") {
      auto store = OpenStore("file://" + (dir_ / "root"));
      ASSERT_TRUE(store.ok()) << store.status();
      store_ = std::move(*store);
    } else {
      store_ = MakeMemoryStore();
    }
  }
  testing::TempDir dir_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_P(ObjectStoreTest, PutGetReplaceDelete) {
  ASSERT_TRUE(store_->Put("a/b", "one").ok());
  EXPECT_EQ(*store_->Get("a/b"), "one");
  ASSERT_TRUE(store_->Put("a/b", "three").ok());
  EXPECT_EQ(*store_->GetRange("a/b", 1, 3), "hre");
  EXPECT_EQ(*store_->GetRange("a/b", 3, 99), "ee");
  EXPECT_EQ(*store_->GetRange("a/b", 99, 1), "");
  EXPECT_EQ(store_->Stat("a/b")->size_bytes, 5);
  EXPECT_TRUE(store_->Delete("a/b").ok());
  EXPECT_TRUE(store_->Delete("a/b").ok());
  EXPECT_TRUE(HasReason(store_->Get("a/b").status(), reason::kObjectNotFound));
  EXPECT_EQ(store_->Stat("a").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(ObjectStoreTest, AViewStaysWhatItWas) {
  const std::string bytes(100'000, 'x');
  ASSERT_TRUE(store_->Put("a/b", bytes).ok());
  const auto view = store_->View("a/b");
  ASSERT_TRUE(view.ok()) << view.status();
  (*view)->Prefetch(5'000, 1'000'000);  // past the end
  ASSERT_TRUE(store_->Put("a/b", "other").ok());
  ASSERT_TRUE(store_->Delete("a/b").ok());
  EXPECT_TRUE((*view)->bytes() == bytes);
  EXPECT_TRUE(HasReason(store_->View("a/b").status(), reason::kObjectNotFound));
  ASSERT_TRUE(store_->Put("empty", "").ok());
  EXPECT_EQ((*store_->View("empty"))->bytes(), "");
}

TEST_P(ObjectStoreTest, ListsByPrefixInOrder) {
  for (const char* key : {"x/2", "x/1", "y/1", "x/sub/3", "xy"})
    ASSERT_TRUE(store_->Put(key, key).ok());
  std::string keys;
  const auto listed = store_->List("x/");
  ASSERT_TRUE(listed.ok());
  for (const auto& object : *listed) absl::StrAppend(&keys, object.key, ";");
  EXPECT_EQ(keys, "x/1;x/2;x/sub/3;");
  EXPECT_EQ(store_->List("")->size(), 5);
  EXPECT_TRUE(store_->List("none/")->empty());
}

TEST_P(ObjectStoreTest, OfManyWritersOneCreates) {
  std::atomic<int> created{0};
  std::vector<Thread> writers;
  for (int i = 0; i < 8; ++i)
    writers.emplace_back("writer",
                         [&, i] { created += store_->PutIfAbsent("k", absl::StrCat(i)).ok(); });
  for (auto& writer : writers) writer.Join();
  EXPECT_EQ(created, 1);
  EXPECT_EQ(store_->PutIfAbsent("k", "x").code(), absl::StatusCode::kAlreadyExists);
}

TEST_P(ObjectStoreTest, AnUncommittedWriterLeavesNothing) {
  {
    auto writer = store_->OpenWriter("w");
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append("part").ok());
  }
  EXPECT_TRUE(store_->List("")->empty());
  auto writer = store_->OpenWriter("w");
  ASSERT_TRUE((*writer)->Append("a").ok() && (*writer)->Append("b").ok() &&
              (*writer)->Commit().ok());
  EXPECT_EQ(*store_->Get("w"), "ab");
}

TEST_P(ObjectStoreTest, AFullDiskIsSaidAndLeavesTheOldObject) {
  ASSERT_TRUE(store_->Put("k", "old").ok());
  auto full = MakeFaultyStore(*store_, {.disk_bytes = 4});
  const absl::Status status = full->Put("k", "too large");
  EXPECT_TRUE(HasReason(status, reason::kDiskFull));
  EXPECT_EQ(*full->Get("k"), "old");
}

INSTANTIATE_TEST_SUITE_P(All, ObjectStoreTest, ::testing::Values("local", "memory"));

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
  EXPECT_FALSE(OpenStore("s3://bucket").ok());
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
