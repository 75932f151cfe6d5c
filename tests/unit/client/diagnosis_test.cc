// Why a job is as it is, and the table of what its ranks do.
#include "client/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "client/commands/job.h"

namespace seer::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::RankPlacement& AddRank(v1::Job& job, const std::string& worker) {
  v1::RankPlacement& rank = *job.add_ranks();
  rank.set_rank(job.ranks_size() - 1);
  rank.set_worker("workers/" + worker);
  rank.set_state("running");
  return rank;
}
void Does(v1::RankPlacement& rank, const std::string& doing, const std::string& detail,
          double seconds) {
  v1::RankActivity& activity = *rank.mutable_activity();
  activity.set_doing(doing);
  activity.set_detail(detail);
  activity.set_seconds(seconds);
  activity.set_step(40);
  activity.set_input_seconds(0.01);
  activity.set_compute_seconds(1.5);
}
void AddEvent(Evidence& evidence, const std::string& type, const std::string& message) {
  v1::Event& event = evidence.events.emplace_back();
  event.set_type(type);
  event.set_message(message);
  event.set_attempt(1);
}
void AddLine(Evidence& evidence, int attempt, int rank, const std::string& text) {
  v1::LogLine& line = evidence.lines.emplace_back();
  line.set_attempt(attempt);
  line.set_rank(rank);
  line.set_text(text);
}

class DiagnosisTest : public ::testing::Test {
 protected:
  DiagnosisTest() {
    v1::Job& job = evidence_.job;
    job.set_name("jobs/job_a");
    job.set_state(v1::JOB_STATE_RUNNING);
    job.set_attempt(2);
    Does(AddRank(job, "w1"), "collective", "all-reduce 812 of world", 41);
    Does(AddRank(job, "w2"), "data", "", 41.5);
  }
  std::vector<std::string> Topics() const {
    std::vector<std::string> topics;
    for (const Finding& finding : Diagnose(evidence_).findings) topics.push_back(finding.topic);
    return topics;
  }
  Evidence evidence_;
};

TEST_F(DiagnosisTest, OfAJobThatIsWellThereIsItsStateAlone) {
  EXPECT_THAT(Topics(), ElementsAre("state"));
  evidence_.job.mutable_ranks()->Clear();
  const Diagnosis diagnosis = Diagnose(evidence_);
  EXPECT_EQ(diagnosis.rank, -1);
  EXPECT_EQ(RanksTable(evidence_.job, true), "");
}

TEST_F(DiagnosisTest, WhatMattersMostComesFirst) {
  v1::Job& job = evidence_.job;
  job.set_state(v1::JOB_STATE_RESTARTING);
  job.set_state_reason("HUNG");
  job.set_state_message("rank 1 on w2 is stopped; starts again from step 20");
  job.mutable_wait()->set_message("failed a moment ago");
  job.set_storage_warning("storage is nearly full");
  v1::Failure& failure = *job.mutable_last_failure();
  failure.set_failure_class(v1::FAILURE_CLASS_MACHINE);
  failure.set_sign("stopped");
  failure.set_message("rank 1 on w2 is stopped");
  failure.set_next_step("look at the worker");
  failure.set_worker("workers/w2");
  failure.set_attempt(2);
  failure.set_rank(1);
  AddEvent(evidence_, "hang_found", "rank 1 on w2 is stopped");
  AddEvent(evidence_, "straggler_found", "rank 0 on w1 is slow");
  AddEvent(evidence_, "job_created", "wants 2 ranks");
  v1::Worker& worker = evidence_.workers.emplace_back();
  worker.set_name("workers/w2");
  worker.set_state(v1::WORKER_STATE_UP);
  worker.mutable_cordon()->set_reason("dust");
  worker.add_faults()->set_message("rank 1 on w2 is stopped");
  EXPECT_THAT(Topics(), ElementsAre("state", "wait", "failure", "hang", "straggler", "worker",
                                    "worker", "storage"));
  const Diagnosis diagnosis = Diagnose(evidence_);
  EXPECT_EQ(diagnosis.findings[0].text,
            "RESTARTING (HUNG): rank 1 on w2 is stopped; starts again from step 20");
  EXPECT_THAT(diagnosis.findings[2].text, HasSubstr("attempt 2, machine (stopped): rank 1 on w2"));
  EXPECT_EQ(diagnosis.findings[2].next_step, "look at the worker");
  EXPECT_EQ(diagnosis.findings[5].text, "w2 is cordoned: dust");
  EXPECT_THAT(WorkersOf(job), ElementsAre("workers/w1", "workers/w2"));
}

TEST_F(DiagnosisTest, OfManyEventsTheNewestAreShown) {
  for (int i = 0; i < 9; ++i) AddEvent(evidence_, "hang_found", std::to_string(i));
  const auto findings = Diagnose(evidence_).findings;
  ASSERT_EQ(findings.size(), 4u);
  EXPECT_THAT(findings[1].text, HasSubstr(": 8"));
  EXPECT_THAT(findings[3].text, HasSubstr(": 6"));
}

TEST_F(DiagnosisTest, TheLinesAreThoseOfTheRankThatOthersWaitFor) {
  AddLine(evidence_, 1, 1, "of an earlier attempt");
  AddLine(evidence_, 2, 0, "of another rank");
  for (int i = 0; i < 30; ++i) AddLine(evidence_, 2, 1, std::to_string(i));
  Diagnosis diagnosis = Diagnose(evidence_);
  EXPECT_EQ(diagnosis.rank, 1);
  ASSERT_EQ(diagnosis.lines.size(), 12u);
  EXPECT_EQ(diagnosis.lines.back().text(), "29");
  // Of an attempt that failed, its culprit.
  evidence_.job.mutable_last_failure()->set_attempt(2);
  diagnosis = Diagnose(evidence_);
  EXPECT_EQ(diagnosis.rank, 0);
  ASSERT_EQ(diagnosis.lines.size(), 1u);
  EXPECT_EQ(diagnosis.lines[0].text(), "of another rank");
}

TEST_F(DiagnosisTest, JsonHasTheSame) {
  AddEvent(evidence_, "straggler_found", "rank 0 on w1 is slow");
  AddLine(evidence_, 2, 1, "last words");
  const auto json = nlohmann::json::parse(DiagnosisJson(evidence_, Diagnose(evidence_)));
  EXPECT_EQ(json["name"], "jobs/job_a");
  EXPECT_EQ(json["state"], "JOB_STATE_RUNNING");
  EXPECT_EQ(json["findings"][1]["topic"], "straggler");
  EXPECT_THAT(json["findings"][1]["nextStep"].get<std::string>(), HasSubstr("seer worker cordon"));
  EXPECT_EQ(json["ranks"][1]["activity"]["doing"], "data");
  EXPECT_EQ(json["log"]["lines"][0], "last words");
}

TEST_F(DiagnosisTest, TheTableSaysWhatEachRankDoes) {
  EXPECT_EQ(RanksTable(evidence_.job, false),
            "\n"
            "RANK  WORKER  DOING                                SINCE  STEP  INPUT    HOST     "
            "COMPUTE  WAIT\n"
            "0     w1      collective: all-reduce 812 of world  41s    40    0.010 s  0.000 s  "
            "1.500 s  0.000 s\n"
            "1     w2      data                                 42s    40    0.010 s  0.000 s  "
            "1.500 s  0.000 s\n");
  for (const auto& [key, value] : JobDescription(evidence_.job)) EXPECT_NE(key, "Rank 0");
  evidence_.job.mutable_ranks(1)->clear_activity();
  const auto lines = JobDescription(evidence_.job);
  EXPECT_THAT(lines, ::testing::Contains(
                         std::pair<std::string, std::string>("Rank 1", "workers/w2 running")));
}

}  // namespace
}  // namespace seer::client
