#include "worker/agent/last_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace seer::worker {
namespace {

using ::testing::ElementsAre;

TEST(LastLines, KeepsTheNewestInOrder) {
  LastLines lines;
  for (int i = 0; i < 100; ++i) lines.Add(absl::StrCat(i));
  const std::vector<std::string> last = std::move(lines).Take();
  ASSERT_EQ(last.size(), LastLines::kMaxLines);
  EXPECT_EQ(last.front(), "60");
  EXPECT_EQ(last.back(), "99");
}

TEST(LastLines, LongLinesPushTheOthersOut) {
  LastLines lines;
  lines.Add("small");
  lines.Add(std::string(LastLines::kMaxBytes - 5, 'a'));
  EXPECT_EQ(LastLines(lines).Take().size(), 2u);
  lines.Add("x");
  EXPECT_EQ(LastLines(lines).Take().size(), 2u) << "the oldest went";
  lines.Add(std::string(LastLines::kMaxBytes + 1000, 'b'));
  EXPECT_THAT(std::move(lines).Take(), ElementsAre(std::string(LastLines::kMaxBytes, 'b')));
}

}  // namespace
}  // namespace seer::worker
