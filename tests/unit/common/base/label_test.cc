#include "common/base/label.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;

TEST(Label, IsAKeyAndAValue) {
  const auto labels = ParseMachineLabels({"rack=7", "seer.io/gpu=h100", "zone=eu-west_1"});
  ASSERT_OK(labels);
  EXPECT_EQ(labels->at("rack"), "7");
  EXPECT_EQ(labels->at("seer.io/gpu"), "h100");
  EXPECT_EQ(labels->size(), 3u);
}

TEST(Label, WhatIsNoneIsRefusedWithARemedy) {
  const auto refused = [](const std::string& label, const std::string& hint) {
    const auto labels = ParseMachineLabels({"rack=7", label});
    EXPECT_THAT(labels, FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, ""))
        << label;
    EXPECT_EQ(GetErrorDetail(labels.status())->field, "label") << label;
    EXPECT_TRUE(absl::StrContains(GetErrorDetail(labels.status())->hint, hint))
        << GetErrorDetail(labels.status())->hint;
  };
  refused("rack", "KEY=VALUE");
  refused("rack=8", "once");
  refused("zone=", "1 to 63");
  refused("=1", "1 to 63");
  refused("a b=1", "1 to 63");
  refused(absl::StrCat("k=", std::string(64, 'v')), "1 to 63");
  refused("device=tpu", "another key");
  refused("machine=1", "another key");
  std::map<std::string, std::string> many;
  for (int i = 0; i < 33; ++i) many[absl::StrCat("k", i)] = "v";
  EXPECT_THAT(CheckMachineLabels(many),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "33"));
}

}  // namespace
}  // namespace seer
