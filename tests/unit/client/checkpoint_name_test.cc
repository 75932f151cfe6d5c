#include "client/commands/checkpoint_name.h"

#include <gtest/gtest.h>

namespace seer::client {
namespace {

TEST(CheckpointName, IsFullHoweverItIsWritten) {
  for (const char* text :
       {"digits/40", "jobs/digits/40", "digits/checkpoints/40", "jobs/digits/checkpoints/40"})
    EXPECT_EQ(CheckpointName(text), "jobs/digits/checkpoints/40") << text;
  EXPECT_EQ(CheckpointName("digits"), "jobs/digits") << "the coordinator says what is missing";
}

}  // namespace
}  // namespace seer::client
