// What may change of a spec, and what is said of two that differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/spec/defaults.h"
#include "common/spec/difference.h"
#include "common/spec/update.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::IsEmpty;

v1::JobSpec Read(const std::string& yaml) {
  const auto spec = ParseJobSpec(yaml, "job.yaml", {});
  EXPECT_OK(spec);
  return *spec;
}

absl::StatusOr<v1::JobSpec> Updated(const std::string& spec, const std::string& values,
                                    const std::vector<std::string>& paths) {
  google::protobuf::FieldMask mask;
  for (const std::string& path : paths) mask.add_paths(path);
  v1::JobSpec out = Read(spec);
  SEER_RETURN_IF_ERROR(ApplyUpdate(mask, Read(values), out));
  return out;
}

TEST(SpecUpdate, SetsWhatIsNamedAndLeavesTheRest) {
  ASSERT_OK_AND_ASSIGN(
      const v1::JobSpec spec,
      Updated("{scheduling: {priority: 1, queue: a}, failure: {maxRestarts: 7}}",
              "{scheduling: {priority: 5, queue: b}, failure: {noProgressTimeout: 90s}}",
              {"scheduling.priority", "failure"}));
  EXPECT_EQ(spec.scheduling().priority(), 5);
  EXPECT_EQ(spec.scheduling().queue(), "a");
  EXPECT_FALSE(spec.failure().has_max_restarts()) << "a section that is named is replaced";
  EXPECT_EQ(spec.failure().no_progress_timeout().seconds(), 90);
}

TEST(SpecUpdate, WhatIsUnsetBecomesUnset) {
  ASSERT_OK_AND_ASSIGN(
      const v1::JobSpec spec,
      Updated("{failure: {maxRestarts: 7, refusedStepLimit: 3}}", "", {"failure.maxRestarts"}));
  EXPECT_FALSE(spec.failure().has_max_restarts());
  EXPECT_EQ(spec.failure().refused_step_limit(), 3);
}

TEST(SpecUpdate, TakesOneKeyOfAMap) {
  ASSERT_OK_AND_ASSIGN(const v1::JobSpec spec,
                       Updated("{metadata: {name: x, labels: {a: '1', b: '2', c.d: '3'}}}",
                               "{metadata: {labels: {a: '9'}}}",
                               {"metadata.labels.a", "metadata.labels.b", "metadata.labels.new",
                                "metadata.labels.c.d"}));
  EXPECT_EQ(spec.metadata().labels().size(), 1u);
  EXPECT_EQ(spec.metadata().labels().at("a"), "9");
  EXPECT_EQ(spec.metadata().name(), "x");
}

TEST(SpecUpdate, WhatAJobStartedFromStaysWithItsSection) {
  const std::string from = "jobs/job_00000001/checkpoints/4";
  ASSERT_OK_AND_ASSIGN(const v1::JobSpec spec,
                       Updated("{checkpoint: {keepLast: 9, startFrom: " + from + "}}",
                               "{checkpoint: {everySteps: 50, startFrom: other}}", {"checkpoint"}));
  EXPECT_EQ(spec.checkpoint().every_steps(), 50);
  EXPECT_EQ(spec.checkpoint().keep_last(), 0);
  EXPECT_EQ(spec.checkpoint().start_from(), from);
}

TEST(SpecUpdate, RefusesWhatMayNotChangeAndWhatIsNotThere) {
  const auto refusal = [](const std::string& path) {
    return Updated("{optim: {steps: 1}}", "{optim: {lr: 3}}", {path}).status();
  };
  for (const char* path :
       {"optim.lr", "optim", "metadata.name", "metadata", "scheduling", "model.trunk.preset",
        "checkpoint.startFrom", "checkpoint.start_from", "scheduling.worker_selector", "kind"})
    EXPECT_THAT(refusal(path),
                FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "may not change"))
        << path;
  EXPECT_THAT(
      refusal("scheduling.prioriti"),
      FailsWith(StatusCode::kInvalidArgument, reason::kUnknownKey, "did you mean 'priority'"));
  for (const char* path : {"", ".", "failure.", "scheduling.priority.x", "alerts.rules.name"})
    EXPECT_THAT(refusal(path),
                FailsWith(StatusCode::kInvalidArgument, reason::kUnknownKey, "no field"))
        << path;
  EXPECT_THAT(Updated("", "", {}),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "nothing to change"));
}

TEST(SpecDifference, NamesWhatDiffersByPath) {
  EXPECT_THAT(DifferencesOf(Read("{optim: {steps: 5}}"), Read("{optim: {steps: 5}}")), IsEmpty());
  const auto differences =
      DifferencesOf(Read("{metadata: {labels: {a: '1', b: '2'}}, optim: {steps: 5, lr: 0.1}, "
                         "model: {head: {hidden: [1, 2]}}, failure: {noProgressTimeout: 90s}}"),
                    Read("{metadata: {labels: {a: '1', c: '3'}}, optim: {steps: 6, momentum: 0.5}, "
                         "model: {head: {hidden: [1, 3]}}, scheduling: {priority: 4}}"));
  EXPECT_THAT(
      differences,
      ElementsAre(SpecDifference{"metadata.labels.b", "2", "unset"},
                  SpecDifference{"metadata.labels.c", "unset", "3"},
                  SpecDifference{"model.head.hidden", "[1, 2]", "[1, 3]"},
                  SpecDifference{"optim.steps", "5", "6"}, SpecDifference{"optim.lr", "0.1", "0"},
                  SpecDifference{"optim.momentum", "unset", "0.5"},
                  SpecDifference{"failure.noProgressTimeout", "1m30s", "unset"},
                  SpecDifference{"scheduling.priority", "0", "4"}));
  EXPECT_EQ(DifferencesText({differences[3], differences[7]}),
            "optim.steps from 5 to 6, scheduling.priority from 0 to 4");
}

TEST(SpecDifference, ListsOfSectionsAreOneLine) {
  const auto differences = DifferencesOf(
      Read("{alerts: {webhooks: [{url: 'http://a/'}]}}"),
      Read("{alerts: {webhooks: [{url: 'http://a/', events: [FAILED]}, {url: 'http://b/'}]}}"));
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].from, "[{url: http://a/}]");
  EXPECT_EQ(differences[0].to, "[{url: http://a/, events: [FAILED]}, {url: http://b/}]");
}

TEST(SpecSize, MoreThanAMegabyteIsRefusedWithItsLimit) {
  v1::JobSpec spec;
  spec.mutable_data()->set_pool("photos");
  spec.mutable_optim()->set_steps(10);
  FillDefaults(spec);
  EXPECT_OK(ValidateJobSpec(spec));
  for (int i = 0; i < 20'000; ++i) {
    auto* const rule = spec.mutable_optim()->add_groups();
    rule->set_match(std::string(60, 'x'));
    rule->set_lr_scale(1);
  }
  EXPECT_THAT(ValidateJobSpec(spec), FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange,
                                               "must have at most 1048576"));
}

TEST(SpecSize, AFileOfTenMegabytesIsNotRead) {
  const std::string text = "metadata: {name: big}\n# " + std::string(10'000'000, 'x') + "\n";
  EXPECT_THAT(ParseJobSpec(text, "job.yaml", {}),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange,
                        "job.yaml has 10000025 bytes, must have at most 4194304"));
}

}  // namespace
}  // namespace seer
