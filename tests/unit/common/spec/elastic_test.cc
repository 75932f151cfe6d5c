// Elastic gangs: which world sizes a spec allows, and how a rank's batch goes through.
#include "common/spec/elastic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"

namespace seer {
namespace {

using ::testing::ElementsAre;

v1::JobSpec Elastic(int ranks, int min_ranks, int64_t global_batch) {
  v1::JobSpec spec;
  spec.mutable_data()->set_pool("photos");
  spec.mutable_data()->set_global_batch(global_batch);
  spec.mutable_optim()->set_steps(10);
  spec.mutable_distributed()->set_ranks(ranks);
  spec.mutable_distributed()->set_min_ranks(min_ranks);
  FillDefaults(spec);
  return spec;
}

TEST(WorldSizes, AreRanksAloneByDefault) {
  const v1::JobSpec spec = Elastic(8, 0, 256);
  EXPECT_EQ(spec.distributed().min_ranks(), 8);
  EXPECT_THAT(WorldSizes(spec), ElementsAre(8));
  v1::JobSpec old = spec;  // as stored before there was a choice
  old.mutable_distributed()->clear_min_ranks();
  EXPECT_THAT(WorldSizes(old), ElementsAre(8));
}

TEST(WorldSizes, DivideTheBatchAndAreDividedByTheGroups) {
  EXPECT_THAT(WorldSizes(Elastic(8, 1, 96)), ElementsAre(8, 6, 4, 3, 2, 1));
  EXPECT_THAT(WorldSizes(Elastic(8, 3, 96)), ElementsAre(8, 6, 4, 3));
  v1::JobSpec spec = Elastic(8, 1, 96);
  spec.mutable_distributed()->set_sync_bn_group_size(2);
  EXPECT_THAT(WorldSizes(spec), ElementsAre(8, 6, 4, 2));
  spec.mutable_distributed()->set_shard_group_size(4);
  EXPECT_THAT(WorldSizes(spec), ElementsAre(8, 4));
  spec.mutable_distributed()->set_shard_group_size(0);  // over all ranks, however many
  EXPECT_THAT(WorldSizes(spec), ElementsAre(8, 6, 4, 2));
}

TEST(AccumulationSteps, PartsAreNeverLargerThanWithAllRanks) {
  for (const int64_t wanted : {1, 2, 3}) {
    for (const int64_t batch : {24, 96, 120, 720}) {
      v1::JobSpec spec = Elastic(8, 1, batch);
      if (batch / 8 % wanted != 0) continue;
      spec.mutable_optim()->set_accumulation_steps(wanted);
      const int64_t largest = batch / 8 / wanted;
      for (const int size : WorldSizes(spec)) {
        const int64_t parts = AccumulationSteps(spec, size), share = batch / size;
        EXPECT_EQ(share % parts, 0);
        EXPECT_LE(share / parts, largest) << size << " of " << batch;
        for (int64_t fewer = 1; fewer < parts; ++fewer)
          EXPECT_FALSE(share % fewer == 0 && share / fewer <= largest) << "in needless parts";
      }
      EXPECT_EQ(AccumulationSteps(spec, 8), wanted);
    }
  }
}

TEST(ElasticSpecs, BadNumbersNameTheirFieldAndTheRemedy) {
  const auto detail = [](const v1::JobSpec& spec) {
    const absl::Status status = ValidateJobSpec(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return GetErrorDetail(status).value_or(ErrorDetail());
  };
  EXPECT_TRUE(ValidateJobSpec(Elastic(4, 2, 64)).ok());
  EXPECT_EQ(detail(Elastic(4, 5, 64)).field, "distributed.minRanks");
  EXPECT_EQ(detail(Elastic(4, -1, 64)).field, "distributed.minRanks");
  ErrorDetail none = detail(Elastic(4, 3, 64));  // 3 does not divide 64
  EXPECT_EQ(none.field, "distributed.minRanks");
  EXPECT_NE(none.hint.find("at most 2, or 4"), std::string::npos) << none.hint;
  v1::JobSpec spec = Elastic(4, 2, 64);
  spec.mutable_distributed()->set_shard_group_size(4);
  none = detail(spec);
  EXPECT_NE(none.hint.find("smaller groups"), std::string::npos) << none.hint;
  spec = Elastic(4, 2, 64);
  for (const int spares : {-1, 1025}) {
    spec.mutable_distributed()->set_spare_ranks(spares);
    EXPECT_EQ(detail(spec).field, "distributed.spareRanks");
  }
  spec.mutable_distributed()->set_spare_ranks(1024);
  EXPECT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
}

TEST(ElasticSpecs, AnEvaluationHasOneRankAndNoSpare) {
  v1::JobSpec spec;
  spec.set_kind(v1::JOB_KIND_EVAL_KNN);
  spec.mutable_eval()->set_train_pool("a");
  spec.mutable_eval()->set_test_pool("b");
  FillDefaults(spec);
  ASSERT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
  spec.mutable_distributed()->set_spare_ranks(1);
  EXPECT_EQ(GetErrorDetail(ValidateJobSpec(spec))->field, "distributed.spareRanks");
}

}  // namespace
}  // namespace seer
