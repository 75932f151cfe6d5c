// One suite for every store: the real ones and the fakes behave alike. A test file instantiates it:
// INSTANTIATE_TEST_SUITE_P(S3, ObjectStoreSuite, ::testing::Values(StoreParam{"s3", make})).
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/object_store.h"
#include "common/base/thread.h"
#include "common/objectstore/faulty_store.h"
#include "tests/support/temp_dir.h"

namespace seer::testing {

struct StoreParam {
  std::string name;
  // An empty store; `dir` lives as long as the test.
  std::function<std::unique_ptr<ObjectStore>(const TempDir& dir)> make;
};
inline std::ostream& operator<<(std::ostream& out, const StoreParam& param) {
  return out << param.name;
}

class ObjectStoreSuite : public ::testing::TestWithParam<StoreParam> {
 protected:
  void SetUp() override {
    store_ = GetParam().make(dir_);
    ASSERT_NE(store_, nullptr);
  }
  TempDir dir_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_P(ObjectStoreSuite, PutGetReplaceDelete) {
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

TEST_P(ObjectStoreSuite, AViewStaysWhatItWas) {
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

TEST_P(ObjectStoreSuite, ListsByPrefixInOrder) {
  for (const char* key : {"x/2", "x/1", "y/1", "x/sub/3", "xy"})
    ASSERT_TRUE(store_->Put(key, key).ok());
  std::string keys;
  const auto listed = store_->List("x/");
  ASSERT_TRUE(listed.ok());
  for (const auto& object : *listed) absl::StrAppend(&keys, object.key, ";");
  EXPECT_EQ(keys, "x/1;x/2;x/sub/3;");
  EXPECT_EQ(store_->List("")->size(), 5);
  EXPECT_TRUE(store_->List("none/")->empty());
  EXPECT_EQ(*store_->TopFolders(), (std::vector<std::string>{"x", "y"}));
}

TEST_P(ObjectStoreSuite, OfManyWritersOneCreates) {
  std::atomic<int> created{0};
  std::vector<Thread> writers;
  for (int i = 0; i < 8; ++i)
    writers.emplace_back("writer",
                         [&, i] { created += store_->PutIfAbsent("k", absl::StrCat(i)).ok(); });
  for (auto& writer : writers) writer.Join();
  EXPECT_EQ(created, 1);
  EXPECT_EQ(store_->PutIfAbsent("k", "x").code(), absl::StatusCode::kAlreadyExists);
}

TEST_P(ObjectStoreSuite, AnUncommittedWriterLeavesNothing) {
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

TEST_P(ObjectStoreSuite, AFullDiskIsSaidAndLeavesTheOldObject) {
  ASSERT_TRUE(store_->Put("k", "old").ok());
  auto full = MakeFaultyStore(*store_, {.disk_bytes = 4});
  const absl::Status status = full->Put("k", "too large");
  EXPECT_TRUE(HasReason(status, reason::kDiskFull));
  EXPECT_EQ(*full->Get("k"), "old");
}

TEST_P(ObjectStoreSuite, ALargeObjectComesBackWhole) {
  std::string bytes(20'000'003, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 24);
  ASSERT_TRUE(store_->Put("large", bytes).ok());
  EXPECT_EQ(store_->Stat("large")->size_bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_TRUE(*store_->Get("large") == bytes);
  EXPECT_TRUE(*store_->GetRange("large", 19'999'000, 5'000) == bytes.substr(19'999'000));
  auto writer = store_->OpenWriter("written");
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (size_t done = 0; done < bytes.size(); done += 3'000'000)
    ASSERT_TRUE((*writer)->Append(absl::string_view(bytes).substr(done, 3'000'000)).ok());
  EXPECT_EQ(store_->Stat("written").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE((*writer)->Commit().ok());
  EXPECT_TRUE(*store_->Get("written") == bytes);
}

TEST_P(ObjectStoreSuite, KeysMayHaveAnyCharacter) {
  for (const char* key : {"a b/c+d", "100%/x?y=1&z#2", "\xc3\xa4/\xe6\x97\xa5.png", "it's(1)!*~"}) {
    ASSERT_TRUE(store_->Put(key, key).ok()) << key;
    EXPECT_EQ(*store_->Get(key), key);
    EXPECT_EQ(store_->PutIfAbsent(key, "x").code(), absl::StatusCode::kAlreadyExists) << key;
  }
  EXPECT_EQ(store_->List("")->size(), 4);
}

}  // namespace seer::testing
