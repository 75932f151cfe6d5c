// Which generations and steps of a pool jobs read.
#include "client/pool_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/commands/pool.h"
#include "tests/support/image_files.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Job Training(const std::string& name, const std::string& pool, int64_t done,
                 const std::vector<std::pair<int64_t, int64_t>>& plan) {
  v1::Job job;
  job.set_name(name);
  job.mutable_spec()->set_kind(v1::JOB_KIND_PRETRAIN);
  job.mutable_spec()->mutable_data()->set_pool(pool);
  job.mutable_progress()->set_step(done);
  job.set_state(v1::JOB_STATE_RUNNING);
  for (const auto& [first, generation] : plan) {
    auto& entry = *job.add_data_plan();
    entry.set_first_step(first);
    entry.set_generation(generation);
  }
  return job;
}

std::vector<std::tuple<int64_t, int64_t, int64_t>> Runs(const v1::Job& job) {
  std::vector<std::tuple<int64_t, int64_t, int64_t>> runs;
  for (const PoolRun& run : RunsOf(job, "photos"))
    runs.emplace_back(run.first_step, run.end_step, run.generation);
  return runs;
}

TEST(PoolJobs, ARunEndsWhereTheNextEntryBeginsOrTheStepsThatAreDone) {
  using Run = std::tuple<int64_t, int64_t, int64_t>;
  const std::vector<std::pair<int64_t, int64_t>> plan = {{0, 3}, {100, 4}, {200, 7}};
  EXPECT_THAT(Runs(Training("jobs/a", "photos", 150, plan)),
              ElementsAre(Run(0, 100, 3), Run(100, 150, 4), Run(200, 200, 7)));
  EXPECT_THAT(Runs(Training("jobs/a", "photos", 0, plan)),
              ElementsAre(Run(0, 0, 3), Run(100, 100, 4), Run(200, 200, 7)));
  v1::Job restored = Training("jobs/a", "photos", 90, plan);
  restored.set_last_checkpoint_step(210);  // no report since it was restored
  EXPECT_THAT(Runs(restored), ElementsAre(Run(0, 100, 3), Run(100, 200, 4), Run(200, 210, 7)));
  EXPECT_THAT(Runs(Training("jobs/a", "others", 150, plan)), ElementsAre());
}

TEST(PoolJobs, AnEvaluationReadsOneGenerationOfEachPool) {
  v1::Job job = Training("jobs/e", "", 0, {{0, 5}, {0, 6}});
  job.mutable_spec()->set_kind(v1::JOB_KIND_EVAL_KNN);
  job.mutable_spec()->mutable_eval()->set_train_pool("train");
  job.mutable_spec()->mutable_eval()->set_test_pool("photos");
  EXPECT_THAT(Runs(job), ElementsAre(std::tuple(0, 0, 6)));
  job.mutable_spec()->mutable_eval()->set_train_pool("photos");
  EXPECT_EQ(Runs(job).size(), 2u);
}

TEST(PoolJobs, JobsThatEndedNeedTheirGenerationsWhileACheckpointIsThere) {
  PoolJobs jobs;
  jobs.jobs = {Training("jobs/a", "photos", 10, {{0, 1}, {5, 2}}),
               Training("jobs/ab", "photos", 10, {{0, 3}}),
               Training("jobs/c", "photos", 0, {{0, 4}}),
               Training("jobs/d", "others", 0, {{0, 9}})};
  jobs.jobs[0].set_state(v1::JOB_STATE_SUCCEEDED);
  jobs.jobs[1].set_state(v1::JOB_STATE_FAILED);
  jobs.jobs[2].set_state(v1::JOB_STATE_PAUSED);
  EXPECT_THAT(NeededGenerations(jobs, "photos"), ElementsAre(4));
  jobs.checkpoints.emplace_back().set_name("jobs/a/checkpoints/10");
  EXPECT_THAT(NeededGenerations(jobs, "photos"), ElementsAre(1, 2, 4));
}

class TakedownIds : public ::testing::Test {
 protected:
  // What the command says of such a file, before it asks any service.
  std::pair<int, std::string> Seer(const std::string& file) {
    const std::string path = dir_ / file;
    const char* arguments[] = {"seer",       "pool",     "takedown", "photos", "--ids",
                               path.c_str(), "--reason", "asked",    "--yes"};
    ::testing::internal::CaptureStderr();
    const int code = RunCli(std::size(arguments), arguments);
    return {code, ::testing::internal::GetCapturedStderr()};
  }
  seer::testing::TempDir dir_;
};

TEST_F(TakedownIds, WhatIsWrongIsNamedByItsLine) {
  const std::string good(64, 'a');
  seer::testing::WriteFile(dir_ / "empty", "\n  \n");
  seer::testing::WriteFile(dir_ / "short", good + "\n\n" + good.substr(1) + "\n");
  seer::testing::WriteFile(dir_ / "letters", std::string(64, 'x'));
  for (const auto& [file, piece] : {std::pair("empty", "has no image's id"),
                                    {"short", "line 3"},
                                    {"letters", "line 1"},
                                    {"absent", "cannot read"}}) {
    const auto [code, text] = Seer(file);
    EXPECT_EQ(code, 2) << file;
    EXPECT_THAT(text, HasSubstr(piece));
    EXPECT_THAT(text, HasSubstr("--ids"));
  }
}

}  // namespace
}  // namespace seer::client
