// Health rules on a real job: what they find is said, and what they do is done.
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

using nlohmann::json;

class HealthTest : public ClusterTest {
 protected:
  // Of recipes/smoke.yaml with these alerts.
  static std::string SpecWith(const std::string& name, const std::string& alerts) {
    const std::string path = (cluster().root() / (name + ".yaml")).string();
    std::ofstream(path) << "extends: recipes/smoke\nmetadata: {name: " << name
                        << "}\noptim: {steps: 100000}\ncheckpoint: {everySteps: 20}\n"
                        << alerts;
    return path;
  }
  static std::string SubmitSpec(const std::string& path) {
    const Result made = cluster().Seer(absl::StrCat("job submit ", path, " -o name"));
    EXPECT_EQ(made.code, 0) << made.out;
    return made.out.substr(made.out.find("job_"), 12);
  }
};

TEST_F(HealthTest, AJobGoesBackWithAnotherLearningRateThreeTimesAndThenPauses) {
  const std::string job = SubmitSpec(SpecWith("unwell", R"(alerts:
  mode: act
  rules:
    - name: always
      signal: gradient_norm
      above: -1
      forSteps: 5
      afterStep: 30
      action: roll_back
      set: {optim.lr: "0.05"}
)"));
  WaitFor([&] { return cluster().State(job) == "JOB_STATE_PAUSED"; });
  const json described = cluster().Describe(job);
  const std::string text = cluster().Seer("job describe " + job).out;
  EXPECT_EQ(described["stateReason"], "HEALTH_RULE") << text;
  EXPECT_EQ(described["attempt"], 4) << text;
  EXPECT_EQ(described["overrides"]["optim.lr"], "0.05");
  EXPECT_EQ(described["spec"]["optim"]["lr"], 0.1) << "as it was submitted";
  EXPECT_NEAR(described["progress"]["learningRate"].get<double>(), 0.05, 0.001);
  ASSERT_EQ(described["findings"].size(), 4u) << text;
  EXPECT_TRUE(absl::StrContains(described["findings"][0]["message"].get<std::string>(),
                                "goes back to step 20 with optim.lr=0.05"))
      << text;
  EXPECT_TRUE(absl::StrContains(text, "it has gone back 3 times already")) << text;
  const std::string events = cluster().Seer("job events " + job).out;
  EXPECT_TRUE(absl::StrContains(events, "health_acted")) << events;
  EXPECT_TRUE(absl::StrContains(events, "from step 20, generation 1")) << events;
  EXPECT_EQ(cluster().Seer("job cancel --yes " + job).code, 0);
}

TEST_F(HealthTest, AdviceLeavesTheJobAlone) {
  const std::string job = SubmitSpec(SpecWith(
      "watched", "alerts: {rules: [{name: low, signal: feature_std, below: 10, forSteps: 2}]}\n"));
  WaitFor(
      [&] { return absl::StrContains(cluster().Seer("job events " + job).out, "health_alert"); });
  EXPECT_EQ(cluster().State(job), "JOB_STATE_RUNNING");
  EXPECT_TRUE(absl::StrContains(cluster().Seer("job describe " + job).out, "advice: look at it"));
  EXPECT_EQ(cluster().Seer("job cancel --yes " + job).code, 0);
}

TEST_F(HealthTest, ARuleThatCannotBeIsRefusedBeforeTheJobIsMade) {
  struct Case {
    const char* rule;
    const char* says;
  };
  for (const Case& c :
       {Case{"{name: a, signal: feature_std}", "alerts.rules[0] has no bound"},
        Case{"{name: a, signal: feature_std, above: 1, below: 2}", "has two bounds"},
        Case{"{name: A, signal: feature_std, above: 1}", "alerts.rules[0].name is 'A'"},
        Case{"{name: a, above: 1}", "alerts.rules[0].signal is not set"},
        Case{"{name: a, signal: feature_std, above: 1, set: {optim.lr: \"1\"}}",
             "the action is not ROLL_BACK"},
        Case{"{name: a, signal: feature_std, above: 1, action: roll_back, set: {optim.lr: \"-1\"}}",
             "optim.lr"},
        Case{"{name: a, signal: feature_std, above: 1, action: roll_back, set: {data.pool: x}}",
             "names data.pool"},
        Case{"{name: a, signal: heart_rate, above: 1}", "heart_rate"}}) {
    const std::string path = SpecWith("broken", absl::StrCat("alerts: {rules: [", c.rule, "]}\n"));
    const Result refused = cluster().Seer(absl::StrCat("job submit ", path));
    EXPECT_EQ(refused.code, 2) << refused.out;
    EXPECT_TRUE(absl::StrContains(refused.out, c.says)) << c.rule << ": " << refused.out;
    EXPECT_TRUE(absl::StrContains(refused.out, "hint:") ||
                absl::StrContains(refused.out, "expected one of"))
        << refused.out;
  }
}

}  // namespace
}  // namespace seer::e2e
