// Files with several jobs: their order, and what is refused before anything is submitted.
#include "client/commands/spec_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using testing::FailsWith;
using testing::TempDir;

class SpecFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<std::string>> Names(const std::string& yaml,
                                                 const std::string& name = "") {
    SpecOptions options;
    options.file = dir_ / "chain.yaml";
    options.name = name;
    std::ofstream(options.file) << yaml;
    SEER_ASSIGN_OR_RETURN(const auto specs, ReadGivenSpecs(options));
    std::vector<std::string> names;
    for (const v1::JobSpec& spec : specs) names.push_back(spec.metadata().name());
    return names;
  }
  static std::string Job(const std::string& name, const std::string& after = "") {
    std::string text = "metadata: {name: " + name + "}\ndata: {pool: cats}\noptim: {steps: 5}\n";
    if (!after.empty()) text += "chain: {after: [{job: " + after + "}]}\n";
    return text;
  }
  TempDir dir_;
};

TEST_F(SpecFileTest, WhatAJobWaitsForGoesBeforeIt) {
  EXPECT_THAT(*Names(Job("c", "b") + "---\n" + Job("a") + "---\n" + Job("b", "jobs/a") + "---\n"),
              ElementsAre("a", "b", "c"));
  EXPECT_THAT(*Names(Job("x") + "---\n" + Job("y", "of-another-file")), ElementsAre("x", "y"));
  EXPECT_THAT(*Names(Job("one"), "renamed"), ElementsAre("renamed"));
}

TEST_F(SpecFileTest, NamesTheCircle) {
  EXPECT_THAT(Names(Job("a", "c") + "---\n" + Job("b", "a") + "---\n" + Job("c", "b")),
              FailsWith(StatusCode::kInvalidArgument, reason::kCircularChain, "a -> c -> b -> a"));
  EXPECT_THAT(Names(Job("a", "a")),
              FailsWith(StatusCode::kInvalidArgument, reason::kCircularChain, "a -> a"));
}

TEST_F(SpecFileTest, RefusesTwoOfOneNameAndANameForSeveral) {
  EXPECT_THAT(Names(Job("a") + "---\n" + Job("a")),
              FailsWith(StatusCode::kInvalidArgument, reason::kJobNameTaken, "'a'"));
  EXPECT_THAT(Names(Job("a") + "---\n" + Job("b"), "z"),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "has 2 jobs"));
  EXPECT_THAT(Names(Job("a") + "---\nmetadata: {nam: b}\n"),
              FailsWith(StatusCode::kInvalidArgument, reason::kUnknownKey, "chain.yaml:5"));
}

TEST_F(SpecFileTest, LeavesDefaultsToTheCoordinator) {
  SpecOptions options;
  options.file = dir_ / "job.yaml";
  std::ofstream(options.file) << Job("a");
  ASSERT_OK_AND_ASSIGN(const v1::JobSpec given, ReadGivenSpec(options));
  EXPECT_FALSE(given.has_model());
  ASSERT_OK_AND_ASSIGN(const v1::JobSpec complete, ReadSpec(options));
  EXPECT_TRUE(complete.has_model());
}

}  // namespace
}  // namespace seer::client
