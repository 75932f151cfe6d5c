#include "common/base/circle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace seer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Graph = std::map<std::string, std::vector<std::string>>;

std::vector<std::string> Find(const Graph& graph, const std::string& start) {
  return FindCircle(start, [&](const std::string& name) {
    const auto it = graph.find(name);
    return it == graph.end() ? std::vector<std::string>() : it->second;
  });
}

TEST(Circle, NamesItInOrder) {
  EXPECT_THAT(Find({{"a", {"a"}}}, "a"), ElementsAre("a", "a"));
  EXPECT_THAT(Find({{"a", {"b"}}, {"b", {"x", "c"}}, {"c", {"a"}}}, "a"),
              ElementsAre("a", "b", "c", "a"));
  // The way to it is no part of it.
  EXPECT_THAT(Find({{"s", {"a"}}, {"a", {"b"}}, {"b", {"a"}}}, "s"), ElementsAre("a", "b", "a"));
}

TEST(Circle, TwoWaysToOneThingAreNone) {
  EXPECT_THAT(Find({{"a", {"b", "c"}}, {"b", {"d"}}, {"c", {"d"}}}, "a"), IsEmpty());
  EXPECT_THAT(Find({}, "a"), IsEmpty());
}

TEST(Circle, LongChainsDoNotRecurse) {
  Graph graph;
  for (int i = 0; i < 200'000; ++i) graph[absl::StrCat(i)] = {absl::StrCat(i + 1)};
  EXPECT_THAT(Find(graph, "0"), IsEmpty());
  graph["200000"] = {"0"};
  EXPECT_EQ(Find(graph, "0").size(), 200'002u);
}

}  // namespace
}  // namespace seer
