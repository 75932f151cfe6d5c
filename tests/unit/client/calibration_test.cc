// The calibration file: from what the trainer measured to what a plan reads, and everything that
// can be wrong with either.
#include "client/calibration.h"

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/reasons.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using nlohmann::json;
using seer::testing::FailsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

json Step(const char* preset, int size, int images, bool held_out) {
  const double seconds = 1e-5 * size * size * images;  // any machine
  return {
      {"preset", preset},         {"crops", {{2, size}}},       {"images", images},
      {"prototypes", 300},        {"precision", "fp32"},        {"recompute", false},
      {"held_out", held_out},     {"network_seconds", seconds}, {"augment_seconds", seconds / 100},
      {"optimizer_seconds", 0.01}};
}

json Measured() {
  json measured = {{"host", "node7"},
                   {"cpu", "a CPU"},
                   {"device", "cpu"},
                   {"threads", 2},
                   {"steps",
                    {Step("regnety_200mf", 32, 4, false), Step("regnety_200mf", 64, 2, false),
                     Step("regnetx_400mf", 48, 4, false), Step("regnety_400mf", 32, 8, false),
                     Step("regnety_200mf", 48, 4, true)}},
                   {"all_reduce",
                    {{{"bytes", 1024.0}, {"seconds", 1e-4}}, {{"bytes", 1e6}, {"seconds", 1e-3}}}}};
  return measured;
}

class CalibrationTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = dir_ / "calibration.json";
    std::ofstream(path) << text;
    return path;
  }
  testing::TempDir dir_;
};

TEST_F(CalibrationTest, IsReadAsItWasFitted) {
  const absl::Time now = absl::FromUnixSeconds(1767323045);
  ASSERT_OK_AND_ASSIGN(const std::string text, FitCalibration(Measured().dump(), now));
  const std::string path = Write(text);
  ASSERT_OK_AND_ASSIGN(const Calibration calibration, LoadCalibration(path));
  EXPECT_EQ(calibration.file, path);
  EXPECT_EQ(calibration.host, "node7");
  EXPECT_EQ(calibration.threads, 2);
  EXPECT_EQ(calibration.date, "2026-01-02T03:04:05+00:00");
  EXPECT_GT(calibration.link.latency_seconds, 0);
  const Calibration::Precision* fp32 = calibration.Find(v1::PRECISION_MODE_FP32);
  ASSERT_NE(fp32, nullptr);
  EXPECT_EQ(calibration.Find(v1::PRECISION_MODE_TF32), fp32) << "a CPU has no TF32";
  EXPECT_EQ(calibration.Find(v1::PRECISION_MODE_BF16), nullptr);
  // The file keeps the steps: the stated error can be checked against them.
  const json file = json::parse(text);
  ASSERT_EQ(file.at("steps").size(), 5u);
  const json& held = file.at("steps").at(4);
  const double measured = held.at("network_seconds").get<double>() +
                          held.at("augment_seconds").get<double>() +
                          held.at("optimizer_seconds").get<double>();
  EXPECT_EQ(fp32->error.steps, 1);
  EXPECT_NEAR(fp32->error.largest,
              std::abs(held.at("predicted_seconds").get<double>() / measured - 1), 1e-9);
}

TEST_F(CalibrationTest, ADamagedFileIsNamed) {
  ASSERT_OK_AND_ASSIGN(const std::string text, FitCalibration(Measured().dump(), absl::Now()));
  EXPECT_THAT(LoadCalibration(dir_ / "none.json"),
              FailsWith(absl::StatusCode::kNotFound, reason::kObjectNotFound, "none.json"));
  std::vector<std::string> damaged = {"", "not JSON", "[]", "{}", text.substr(0, text.size() / 2)};
  for (const char* key : {"host", "threads", "precisions", "all_reduce", "date", "device"}) {
    json file = json::parse(text);
    file.erase(key);
    damaged.push_back(file.dump());
  }
  json wrong = json::parse(text);
  wrong["precisions"]["fp32"]["seconds"]["layers"] = -1;
  damaged.push_back(wrong.dump());
  wrong["precisions"]["fp32"]["seconds"]["layers"] = "fast";
  damaged.push_back(wrong.dump());
  wrong["precisions"] = json::object();
  damaged.push_back(wrong.dump());
  for (const std::string& content : damaged)
    EXPECT_THAT(LoadCalibration(Write(content)),
                FailsWith(kInvalid, reason::kInvalidArgument, "is no calibration"))
        << content.substr(0, 80);
}

TEST_F(CalibrationTest, WhatTheTrainerPrintedIsChecked) {
  const auto fails = [](const json& measured) {
    return !FitCalibration(measured.dump(), absl::Now()).ok();
  };
  json measured = Measured();
  measured["steps"].erase(4);
  EXPECT_TRUE(fails(measured)) << "nothing to tell the error by";
  measured = Measured();
  measured["steps"].erase(0);
  EXPECT_TRUE(fails(measured)) << "too few to fit";
  measured = Measured();
  measured["steps"][0]["preset"] = "regnety_0";
  EXPECT_TRUE(fails(measured));
  measured = Measured();
  measured["steps"][0]["crops"] = json::array();
  EXPECT_TRUE(fails(measured));
  measured = Measured();
  measured["steps"][1]["network_seconds"] = 0;
  EXPECT_TRUE(fails(measured));
  measured = Measured();
  measured.erase("all_reduce");
  EXPECT_TRUE(fails(measured));
  EXPECT_FALSE(FitCalibration("Segmentation fault", absl::Now()).ok());
}

TEST_F(CalibrationTest, ATrainerThatIsNotThereOrFails) {
  Interrupt interrupt;
  MeasureOptions options;
  options.trainer = dir_ / "seer-trainer";
  EXPECT_THAT(MeasureThisMachine(options, interrupt),
              FailsWith(absl::StatusCode::kNotFound, reason::kObjectNotFound, "no program"));
  options.trainer = "/bin/false";
  EXPECT_THAT(MeasureThisMachine(options, interrupt),
              FailsWith(absl::StatusCode::kInternal, reason::kInternal, "failed with 1"));
  options.trainer = "/bin/echo";
  options.threads = 3;
  options.quick = true;
  ASSERT_OK_AND_ASSIGN(const std::string said, MeasureThisMachine(options, interrupt));
  EXPECT_EQ(said, "--calibrate --threads 3 --device cpu --quick\n");
}

TEST_F(CalibrationTest, LiesBesideTheContextFile) {
  ::setenv("SEER_CONFIG", (dir_ / "config.yaml").c_str(), 1);
  EXPECT_EQ(CalibrationPath(), dir_ / "calibration.json");
  ::unsetenv("SEER_CONFIG");
}

}  // namespace
}  // namespace seer::client
