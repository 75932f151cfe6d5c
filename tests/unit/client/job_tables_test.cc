// What `seer job describe` and `seer ps` say of a job.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "client/commands/job.h"

namespace seer::client {
namespace {

std::string Described(const v1::Job& job, const std::string& line) {
  for (const auto& [name, text] : JobDescription(job))
    if (name == line) return text;
  return "";
}
std::string Cell(const v1::Job& job, const std::string& title) {
  const auto& columns = JobColumns();
  const auto column = std::find_if(columns.begin(), columns.end(),
                                   [&](const Column& c) { return c.title == title; });
  return column == columns.end() ? "" : column->text(job);
}

TEST(JobTables, ShowHowManyRanksAndSparesAGangHas) {
  v1::Job job;
  v1::DistributedSpec& distributed = *job.mutable_spec()->mutable_distributed();
  distributed.set_ranks(4);
  distributed.set_min_ranks(4);
  EXPECT_EQ(Described(job, "Ranks"), "4");
  EXPECT_EQ(Cell(job, "RANKS"), "4");
  for (int i = 0; i < 4; ++i) job.add_ranks();
  EXPECT_EQ(Described(job, "Ranks"), "4 of 4");
  distributed.set_min_ranks(2);
  distributed.set_spare_ranks(2);
  job.set_spare_devices(1);
  EXPECT_EQ(Described(job, "Ranks"), "4 of 4 (elastic, at least 2), 1 of 2 spares");
  EXPECT_EQ(Cell(job, "RANKS"), "4+1");
  job.set_spare_devices(2);
  EXPECT_EQ(Described(job, "Ranks"), "4 of 4 (elastic, at least 2), 2 spares");
  job.mutable_ranks()->RemoveLast();
  job.set_spare_devices(0);
  EXPECT_EQ(Described(job, "Ranks"), "3 of 4 (elastic, at least 2), 0 of 2 spares");
  EXPECT_EQ(Cell(job, "RANKS"), "3/4");
}

}  // namespace
}  // namespace seer::client
