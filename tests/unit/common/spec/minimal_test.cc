#include "common/spec/minimal.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "common/spec/defaults.h"
#include "common/spec/yaml.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using google::protobuf::util::MessageDifferencer;

v1::JobSpec Read(const std::string& yaml) {
  const auto spec = ParseJobSpec(yaml, "job.yaml", {});
  EXPECT_OK(spec);
  return *spec;
}

TEST(MinimalSpec, IsWhatSomebodyWouldHaveWritten) {
  for (const char* yaml :
       {"data: {pool: cats}\noptim: {steps: 10}\n",
        "metadata: {name: x, labels: {a: b}}\ndata: {pool: cats, globalBatch: 64}\noptim: {steps: "
        "10, kind: adamw, lr: 0.5}\nfailure: {maxRestarts: 0}\n",
        "kind: eval_knn\neval: {trainPool: a, testPool: b, k: [1, 5]}\nchain: {after: [{job: "
        "j}]}\n",
        "data: {pool: cats}\naugment: {crops: [{views: 2, size: 64}]}\noptim: {steps: 10, "
        "schedules: [{value: lr, phases: [{shape: linear, steps: 5, end: 0.1}]}]}\n"}) {
    const v1::JobSpec written = Read(yaml);
    v1::JobSpec complete = written;
    FillDefaults(complete);
    const v1::JobSpec minimal = MinimalSpec(complete);
    v1::JobSpec again = minimal;
    FillDefaults(again);
    EXPECT_TRUE(MessageDifferencer::Equals(again, complete)) << FormatJobSpec(minimal);
    EXPECT_LE(minimal.ByteSizeLong(), complete.ByteSizeLong() / 3) << FormatJobSpec(minimal);
    EXPECT_TRUE(MessageDifferencer::Equals(MinimalSpec(minimal), minimal));
  }
  v1::JobSpec complete = Read("data: {pool: cats}\noptim: {steps: 10}\n");
  FillDefaults(complete);
  EXPECT_EQ(FormatJobSpec(MinimalSpec(complete)), "data:\n  pool: cats\noptim:\n  steps: 10\n");
}

}  // namespace
}  // namespace seer
