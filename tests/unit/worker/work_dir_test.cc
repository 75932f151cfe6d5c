#include "worker/agent/work_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

namespace fs = std::filesystem;
using ::seer::testing::FailsWith;

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

class WorkDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, WorkDir::Open(temp_ / "work"));
    internal::v1::Assign assign;
    assign.set_attempt_id(4);
    assign.set_rank(1);
    assign.set_job("jobs/a");
    ASSERT_OK(dir_->WriteAssignment(assign));
  }
  std::string Path() const { return dir_->AssignmentPath(4, 1); }
  size_t Files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(temp_ / "work/ranks"), fs::directory_iterator()));
  }
  testing::TempDir temp_;
  std::unique_ptr<WorkDir> dir_;
};

TEST_F(WorkDirTest, TheTrainerReadsItsAssignment) {
  internal::v1::Assign read;
  std::ifstream file(Path(), std::ios::binary);
  ASSERT_TRUE(read.ParseFromIstream(&file));
  EXPECT_EQ(read.job(), "jobs/a");
}

TEST_F(WorkDirTest, TheLastWordIsTakenWithAllFilesOfTheRank) {
  Write(Path() + ".exit", R"({"reason":"POOL_EMPTY","message":"pool p is empty"})");
  Write(Path() + ".exit.tmp-99", "{\"rea");
  Write(dir_->AssignmentPath(4, 10), "another rank's");
  const auto word = dir_->TakeLastWord(4, 1);
  ASSERT_TRUE(word);
  EXPECT_EQ(word->reason, "POOL_EMPTY");
  EXPECT_EQ(word->message, "pool p is empty");
  EXPECT_EQ(Files(), 1u) << "the other rank's";
}

TEST_F(WorkDirTest, NoLastWordIsNoError) {
  EXPECT_FALSE(dir_->TakeLastWord(4, 1));
  EXPECT_EQ(Files(), 0u);
}

TEST_F(WorkDirTest, ALastWordThatIsNoneEndsNobody) {
  for (const char* text : {"", "{", "[1]", "17", "null", "{\"reason\":\"\xff\"}"}) {
    Write(Path() + ".exit", text);
    EXPECT_FALSE(dir_->TakeLastWord(4, 1)) << text;
  }
  Write(Path() + ".exit", R"({"reason":17,"message":["x"]})");
  const auto word = dir_->TakeLastWord(4, 1);
  ASSERT_TRUE(word);
  EXPECT_EQ(word->reason, "");
  EXPECT_EQ(word->message, "");
}

TEST_F(WorkDirTest, ANewAssignmentForgetsTheOldLastWord) {
  Write(Path() + ".exit", R"({"reason":"OLD"})");
  internal::v1::Assign assign;
  assign.set_attempt_id(4);
  assign.set_rank(1);
  ASSERT_OK(dir_->WriteAssignment(assign));
  EXPECT_FALSE(dir_->TakeLastWord(4, 1));
}

TEST_F(WorkDirTest, SurvivesSomebodyCleaningUp) {
  fs::remove_all(temp_ / "work/ranks");
  EXPECT_FALSE(dir_->TakeLastWord(4, 1));
  internal::v1::Assign assign;
  EXPECT_OK(dir_->WriteAssignment(assign));
}

TEST_F(WorkDirTest, TwoAgentsNeverShareAFolder) {
  EXPECT_THAT(WorkDir::Open(temp_ / "work"), FailsWith(absl::StatusCode::kAlreadyExists,
                                                       reason::kInvalidArgument, "another agent"));
  EXPECT_EQ(Files(), 1u) << "and the first one's files stay";
  dir_.reset();
  ASSERT_OK_AND_ASSIGN(dir_, WorkDir::Open(temp_ / "work"));
  EXPECT_EQ(Files(), 0u) << "what an earlier agent left is removed";
}

TEST_F(WorkDirTest, AFolderThatCannotBeMade) {
  Write(temp_ / "file", "");
  EXPECT_THAT(WorkDir::Open(temp_ / "file/work"),
              FailsWith(absl::StatusCode::kPermissionDenied, reason::kStorageFailed, "cannot use"));
}

}  // namespace
}  // namespace seer::worker
