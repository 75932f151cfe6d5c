#include "coordinator/services/curve_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::Progress Point(int64_t step) {
  v1::Progress point;
  point.set_step(step);
  point.set_loss(1.0 / static_cast<double>(step));
  return point;
}

std::vector<int64_t> Steps(const std::vector<v1::Progress>& points) {
  std::vector<int64_t> steps;
  for (const v1::Progress& point : points) steps.push_back(point.step());
  return steps;
}

class CurveStoreTest : public ::testing::Test {
 protected:
  void Add(CurveStore& curves, std::initializer_list<int64_t> steps) {
    for (const int64_t step : steps) EXPECT_OK(curves.Add("job_a", Point(step)));
  }
  std::string File() const { return dir_ / "job_a/curve"; }

  testing::TempDir dir_;
};

TEST_F(CurveStoreTest, KeepsPointsOverARestart) {
  {
    CurveStore curves(dir_.path());
    EXPECT_THAT(curves.Read("job_a"), IsEmpty());
    Add(curves, {1, 2, 3});
    EXPECT_EQ(curves.Read("job_a")[1].loss(), 0.5);
    EXPECT_THAT(curves.Read("job_b"), IsEmpty());
  }
  CurveStore curves(dir_.path());
  Add(curves, {4});
  EXPECT_THAT(Steps(curves.Read("job_a")), ElementsAre(1, 2, 3, 4));
}

TEST_F(CurveStoreTest, ThinsALongCurveEvenly) {
  CurveStore curves(dir_.path());
  constexpr int64_t kSteps = 20000;
  for (int64_t step = 10; step <= kSteps; step += 10) ASSERT_OK(curves.Add("job_a", Point(step)));
  const std::vector<int64_t> steps = Steps(curves.Read("job_a"));
  EXPECT_LE(steps.size(), CurveStore::kMaxPoints);
  EXPECT_GE(steps.size(), CurveStore::kMaxPoints / 4);
  EXPECT_EQ(steps.front(), 10);
  int64_t widest = 0;
  for (size_t i = 1; i < steps.size(); ++i) widest = std::max(widest, steps[i] - steps[i - 1]);
  EXPECT_LE(widest, 4 * kSteps / static_cast<int64_t>(CurveStore::kMaxPoints));
  EXPECT_GT(steps.back(), kSteps - widest);
}

TEST_F(CurveStoreTest, ForgetsStepsThatAreDoneAgain) {
  CurveStore curves(dir_.path());
  Add(curves, {1, 2, 3, 4, 5, 3});
  EXPECT_THAT(Steps(curves.Read("job_a")), ElementsAre(1, 2, 3));
  Add(curves, {4});
  CurveStore later(dir_.path());
  Add(later, {2});
  EXPECT_THAT(Steps(later.Read("job_a")), ElementsAre(1, 2));
}

TEST_F(CurveStoreTest, GoesOnBehindHalfAPoint) {
  {
    CurveStore curves(dir_.path());
    Add(curves, {1, 2});
  }
  std::filesystem::resize_file(File(), std::filesystem::file_size(File()) - 3);
  CurveStore curves(dir_.path());
  EXPECT_THAT(Steps(curves.Read("job_a")), ElementsAre(1));
  Add(curves, {5});
  EXPECT_THAT(Steps(curves.Read("job_a")), ElementsAre(1, 5));
}

TEST_F(CurveStoreTest, ReadsAnewWhatAnotherProcessWrote) {
  CurveStore mine(dir_.path()), theirs(dir_.path());
  Add(mine, {1, 2});
  Add(theirs, {3, 4});
  mine.Reopen();
  Add(mine, {5});
  EXPECT_THAT(Steps(mine.Read("job_a")), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(CurveStoreTest, SaysThatItCannotWriteAndGoesOnLater) {
  CurveStore curves(dir_.path());
  std::filesystem::create_directories(File());  // no file can be there
  EXPECT_THAT(curves.Add("job_a", Point(1)),
              testing::FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "curve"));
  std::filesystem::remove(File());
  Add(curves, {2});
  EXPECT_THAT(Steps(curves.Read("job_a")), ElementsAre(2));
}

TEST(Thinned, HasTheLastAndNoMoreThanAsked) {
  std::vector<v1::Progress> points;
  for (int64_t step = 1; step <= 10; ++step) points.push_back(Point(step));
  EXPECT_THAT(Steps(Thinned(points, 4)), ElementsAre(1, 4, 7, 10));
  EXPECT_THAT(Steps(Thinned(points, 2)), ElementsAre(1, 10));
  EXPECT_THAT(Steps(Thinned(points, 1)), ElementsAre(10));
  EXPECT_EQ(Thinned(points, 10).size(), 10u);
}

}  // namespace
}  // namespace seer::coordinator
