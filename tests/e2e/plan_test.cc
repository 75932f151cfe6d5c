// `seer job plan` with the real trainer beside it: calibrates this machine for seconds, then plans.
// Nothing of a cluster runs.
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;

class PlanTest : public ::testing::Test {
 protected:
  void Expect(const std::string& arguments, int code, const std::vector<std::string>& texts) const {
    const Result result = cluster_.Seer("job plan " + arguments);
    EXPECT_EQ(result.code, code) << arguments << "\n" << result.out;
    for (const std::string& text : texts)
      EXPECT_TRUE(absl::StrContains(result.out, text)) << arguments << ": no '" << text << "' in\n"
                                                       << result.out;
  }
  std::string DefaultFile() const {
    return fs::path(cluster_.environment().at("SEER_CONFIG")).parent_path() / "calibration.json";
  }
  Cluster cluster_;
};

TEST_F(PlanTest, CalibratesThisMachineAndPlansWithIt) {
  Expect(Cluster::Recipe(), 0, {"Time:", "unknown: run `seer job plan --calibrate`"});
  Expect("--calibrate --quick --threads 1", 0,
         {"fp32: ", "bf16: ", "off on average", "calibration written to " + DefaultFile()});
  Expect(Cluster::Recipe(), 0, {"images/s", "rank-hours", DefaultFile() + ": ", "1 thread,"});
  const auto plan = cluster_.Json("job plan " + Cluster::Recipe());
  const auto& time = plan.at("time");
  EXPECT_GT(time.at("stepSeconds").get<double>(), 1e-4);
  EXPECT_LT(time.at("stepSeconds").get<double>(), 600);
  EXPECT_GT(time.at("meanRelativeError").get<double>(), 0) << "measured steps follow no model";
  EXPECT_TRUE(time.at("calibration").at("thisMachine").get<bool>());
  const auto two = cluster_.Json("job plan " + Cluster::Recipe() + " --set distributed.ranks=2");
  EXPECT_GT(two.at("time").at("blockingCollectiveSeconds").get<double>(), 0);

  // The file of another machine, taken along.
  auto file = nlohmann::json::parse(ReadAll(DefaultFile()));
  file["host"] = "node7";
  const std::string other = cluster_.root() / "node7.json";
  std::ofstream(other) << file.dump();
  Expect(Cluster::Recipe() + " --calibration " + other, 0, {"node7", "not this machine"});
  std::ofstream(other) << file.dump().substr(0, 500);
  Expect(Cluster::Recipe() + " --calibration " + other, 2,
         {other, "is no calibration", "hint: make a new one"});
}

TEST_F(PlanTest, BadInputHasAMessage) {
  Expect("", 2, {"no job to plan", "hint:"});
  Expect(Cluster::Recipe() + " --quick", 2, {"--calibrate"});
  Expect("--calibrate --threads 0", 2, {"--threads"});
  Expect(Cluster::Recipe() + " --calibration /no/such/file.json", 1, {"/no/such/file.json"});
  Expect("--calibrate --quick --threads 1 --device tpu", 1, {"tpu", "seer-trainer failed"});
  EXPECT_FALSE(fs::exists(DefaultFile())) << "nothing is written on failure";
}

TEST_F(PlanTest, CtrlCEndsTheMeasurementToo) {
  const std::string program = (Bin() / "seer").string();
  const Result result = Shell(absl::StrCat("SEER_CONFIG=", cluster_.environment().at("SEER_CONFIG"),
                                           " timeout --preserve-status --foreground -s INT 2 ",
                                           program, " job plan --calibrate --threads 1"));
  EXPECT_EQ(result.code, 3) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, "interrupted; nothing was written")) << result.out;
  EXPECT_TRUE(ProcessesWith("--calibrate").empty());
  EXPECT_FALSE(fs::exists(DefaultFile()));
}

}  // namespace
}  // namespace seer::e2e
