#include "worker/trainer/planned_batches.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/status_matchers.h"

namespace seer::worker {
namespace {

// Gives the steps of its request; `label` of a batch: the generation that its plan has for the
// step.
class FakeSource final : public engine::BatchSource {
 public:
  explicit FakeSource(v1::StreamBatchesRequest request) : request_(std::move(request)) {}
  absl::StatusOr<engine::Batch> Next() override {
    engine::Batch batch;
    batch.step = request_.first_step();
    if (batch.step == request_.end_step()) return absl::OutOfRangeError("the end");
    request_.set_first_step(batch.step + 1);
    int64_t generation = 0;
    for (const auto& entry : request_.data_plan())
      if (entry.first_step() <= batch.step) generation = entry.generation();
    batch.labels = {static_cast<int32_t>(generation)};
    return batch;
  }

 private:
  v1::StreamBatchesRequest request_;
};

class PlannedBatchesTest : public ::testing::Test {
 protected:
  PlannedBatchesTest()
      : batches_(Request(), [this](const v1::StreamBatchesRequest& request) {
          opened_.push_back(request.first_step());
          return std::make_unique<FakeSource>(request);
        }) {}
  static v1::StreamBatchesRequest Request() {
    v1::StreamBatchesRequest request;
    request.set_first_step(2);
    request.set_end_step(12);
    request.add_data_plan()->set_generation(4);
    return request;
  }
  // Generations of the steps from the next one up to `end`.
  std::vector<int> ReadUpTo(int64_t end) {
    std::vector<int> generations;
    for (; next_ < end; ++next_) {
      const auto batch = batches_.Next();
      if (!batch.ok() || batch->step != next_) {
        ADD_FAILURE() << next_ << " " << batch.status();
        break;
      }
      generations.push_back(batch->labels[0]);
    }
    return generations;
  }
  int64_t next_ = 2;
  std::vector<int64_t> opened_;
  PlannedBatches batches_;
};

TEST_F(PlannedBatchesTest, ChangesGenerationAtTheStepAndMissesNone) {
  EXPECT_EQ(ReadUpTo(4), (std::vector<int>{4, 4}));
  batches_.Follow(7, 5);
  EXPECT_EQ(opened_, (std::vector<int64_t>{2, 7})) << "opened ahead";
  EXPECT_EQ(ReadUpTo(12), (std::vector<int>{4, 4, 4, 5, 5, 5, 5, 5}));
  EXPECT_EQ(batches_.Next().status().code(), absl::StatusCode::kOutOfRange);
  const auto plan = batches_.plan();
  ASSERT_EQ(plan.size(), 2);
  EXPECT_EQ(plan[1].first_step(), 7);
  EXPECT_EQ(plan[1].generation(), 5);
}

TEST_F(PlannedBatchesTest, FollowsSeveralOneAfterTheOther) {
  batches_.Follow(5, 5);
  batches_.Follow(6, 8);
  batches_.Follow(9, 9);
  EXPECT_EQ(ReadUpTo(12), (std::vector<int>{4, 4, 4, 5, 8, 8, 8, 9, 9, 9}));
}

// As after a restart from before a change that is recorded.
TEST_F(PlannedBatchesTest, ANewerGenerationWaitsForThePlansLastToBegin) {
  batches_.Follow(8, 5);
  batches_.Follow(6, 7);
  EXPECT_EQ(ReadUpTo(12), (std::vector<int>{4, 4, 4, 4, 4, 4, 5, 7, 7, 7}));
}

TEST_F(PlannedBatchesTest, PassesOverWhatIsNotNewerOrTooLate) {
  batches_.Follow(5, 4);
  batches_.Follow(5, 3);
  batches_.Follow(12, 6);
  EXPECT_EQ(batches_.plan().size(), 1);
  EXPECT_EQ(opened_.size(), 1u);
  EXPECT_EQ(ReadUpTo(12), std::vector<int>(10, 4));
}

}  // namespace
}  // namespace seer::worker
