// Where gangs find room: kinds, labels, groups, machines.
#include "coordinator/core/free_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Machines of one class: "a:2 b:3" by their names, which placements are printed with.
struct Machines {
  std::vector<WorkerClass> classes = {{"cpu", {}}};
  std::vector<OfferedDevices> workers;
  std::vector<std::string> names;

  Machines() = default;
  Machines(std::initializer_list<std::pair<const char*, int>> list) {
    for (const auto& [name, devices] : list) Add(name, devices);
  }
  void Add(const std::string& name, int devices, int worker_class = 0, std::string machine = "") {
    names.push_back(name);
    workers.push_back({machine.empty() ? name : machine, worker_class, devices});
  }
  // The worker of each rank.
  std::vector<std::string> Place(const GangShape& shape) const {
    FreeDevices free(classes, workers);
    const bool room = free.HasRoom(shape);
    const Placement placement = free.Place(shape);
    EXPECT_EQ(room, !placement.empty());
    std::vector<std::string> ranks;
    for (const Share& share : placement)
      ranks.insert(ranks.end(), static_cast<size_t>(share.devices),
                   names[static_cast<size_t>(share.worker)]);
    free.Release(placement);
    for (size_t i = 0; i < workers.size(); ++i)
      EXPECT_EQ(free.free(static_cast<int>(i)), workers[i].devices);
    return ranks;
  }
};

GangShape Ranks(int ranks, int group = 1, std::string within = "", Labels selector = {}) {
  return {ranks, group, std::move(within), std::move(selector)};
}

TEST(FreeDevices, AMachineThatHoldsAllIsBetterThanSeveralAndTheTightestIsBest) {
  EXPECT_THAT(Machines({{"a", 1}, {"b", 2}}).Place(Ranks(2)), ElementsAre("b", "b"));
  EXPECT_THAT(Machines({{"a", 3}, {"b", 2}}).Place(Ranks(2)), ElementsAre("b", "b"));
  EXPECT_THAT(Machines({{"b", 2}, {"a", 2}}).Place(Ranks(2)), ElementsAre("b", "b"))
      << "the first of two that are alike";
  EXPECT_THAT(Machines({{"a", 0}, {"b", 1}}).Place(Ranks(1)), ElementsAre("b"));
  // The fullest first, the rest where it fits tightest.
  EXPECT_THAT(Machines({{"a", 1}, {"b", 3}, {"c", 2}}).Place(Ranks(4)),
              ElementsAre("b", "b", "b", "a"));
}

TEST(FreeDevices, KeepsGroupsInsideMachinesWhereThatIsPossible) {
  EXPECT_THAT(Machines({{"a", 3}, {"b", 3}, {"c", 2}}).Place(Ranks(6, 2)),
              ElementsAre("a", "a", "b", "b", "c", "c"));
  // What is left over goes where there is room, and all of it is used if need be.
  EXPECT_THAT(Machines({{"a", 3}, {"b", 3}}).Place(Ranks(6, 2)),
              ElementsAre("a", "a", "b", "b", "a", "b"));
  EXPECT_THAT(Machines({{"a", 2}, {"b", 5}}).Place(Ranks(6, 3)),
              ElementsAre("b", "b", "b", "a", "a", "b"));
  EXPECT_THAT(Machines({{"a", 2}, {"b", 2}}).Place(Ranks(4, 4)), ElementsAre("a", "a", "b", "b"));
}

TEST(FreeDevices, GroupsThatMustBeOnOneMachineAreNeverTornApart) {
  EXPECT_THAT(Machines({{"a", 3}, {"b", 3}}).Place(Ranks(6, 2, "machine")), IsEmpty());
  EXPECT_THAT(Machines({{"a", 3}, {"b", 3}, {"c", 2}}).Place(Ranks(6, 2, "machine")),
              ElementsAre("a", "a", "b", "b", "c", "c"));
  EXPECT_THAT(Machines({{"a", 3}, {"b", 3}}).Place(Ranks(4, 4, "machine")), IsEmpty());
}

TEST(FreeDevices, WorkersOfOneHostAreOneMachine) {
  Machines machines;
  machines.Add("a", 1, 0, "host");
  machines.Add("b", 1, 0, "other");
  machines.Add("c", 1, 0, "host");
  EXPECT_THAT(machines.Place(Ranks(2, 2, "machine")), ElementsAre("a", "c"));
  EXPECT_THAT(machines.Place(Ranks(3, 3, "machine")), IsEmpty());
}

TEST(FreeDevices, AllRanksOrNone) {
  EXPECT_THAT(Machines({{"a", 3}, {"b", 2}}).Place(Ranks(6, 2)), IsEmpty());
  EXPECT_THAT(Machines({{"a", 1}, {"b", 2}}).Place(Ranks(4)), IsEmpty());
  EXPECT_THAT(Machines().Place(Ranks(1)), IsEmpty());
}

TEST(FreeDevices, OneGangHasOneKindOfDevices) {
  Machines machines;
  machines.classes = {{"cpu", {}}, {"cuda", {}}};
  machines.Add("c1", 2, 0);
  machines.Add("g1", 2, 1);
  machines.Add("c2", 1, 0);
  EXPECT_THAT(machines.Place(Ranks(2)), ElementsAre("g1", "g1")) << "GPUs first";
  EXPECT_THAT(machines.Place(Ranks(3)), ElementsAre("c1", "c1", "c2"));
  EXPECT_THAT(machines.Place(Ranks(4)), IsEmpty()) << "5 devices, but of two kinds";
  EXPECT_THAT(machines.Place(Ranks(2, 1, "", {{"device", "cpu"}})), ElementsAre("c1", "c1"));
  EXPECT_THAT(machines.Place(Ranks(3, 1, "", {{"device", "cuda"}})), IsEmpty());
}

TEST(FreeDevices, SelectorsAdmitOnlyWorkersWithAllTheirLabels) {
  Machines machines;
  machines.classes = {{"cpu", {{"gpu", "h100"}, {"zone", "1"}}},
                      {"cpu", {{"gpu", "h100"}, {"zone", "2"}}},
                      {"cpu", {}}};
  machines.Add("a", 1, 2);
  machines.Add("b", 1, 0);
  machines.Add("c", 1, 1);
  EXPECT_THAT(machines.Place(Ranks(2, 1, "", {{"gpu", "h100"}})), ElementsAre("b", "c"));
  EXPECT_THAT(machines.Place(Ranks(1, 1, "", {{"gpu", "h100"}, {"zone", "2"}})), ElementsAre("c"));
  EXPECT_THAT(machines.Place(Ranks(1, 1, "", {{"gpu", "a100"}})), IsEmpty());
  FreeDevices free(machines.classes, machines.workers);
  EXPECT_FALSE(free.AnyClass({{"gpu", "a100"}}));
  EXPECT_EQ(free.FreeFor({{"gpu", "h100"}}), 2);
  EXPECT_FALSE(free.Admits({{"gpu", "h100"}}, 0));
}

TEST(FreeDevices, GroupsStayBelowOneValueOfALabel) {
  Machines machines;
  machines.classes = {{"cpu", {{"rack", "1"}}}, {"cpu", {{"rack", "2"}}}, {"cpu", {}}};
  machines.Add("a", 2, 0);
  machines.Add("b", 2, 1);
  machines.Add("c", 1, 0);
  machines.Add("d", 9, 2);  // in no rack
  EXPECT_THAT(machines.Place(Ranks(3, 3, "rack")), ElementsAre("a", "a", "c"));
  EXPECT_THAT(machines.Place(Ranks(2, 2, "rack")), ElementsAre("b", "b")) << "the tightest rack";
  EXPECT_THAT(machines.Place(Ranks(4, 2, "rack")), ElementsAre("a", "a", "b", "b"));
  EXPECT_THAT(machines.Place(Ranks(4, 4, "rack")), IsEmpty());
  EXPECT_THAT(machines.Place(Ranks(1, 1, "row")), IsEmpty());
}

TEST(FreeDevices, WhatIsTakenAndReleasedAtRandomAddsUp) {
  Philox random(1, RandomPurpose::kTest, 7);
  std::vector<WorkerClass> classes;
  for (int i = 0; i < 6; ++i)
    classes.push_back({i % 2 ? "cuda" : "cpu", {{"rack", absl::StrCat(i / 2)}}});
  std::vector<OfferedDevices> workers;
  for (int i = 0; i < 40; ++i)
    workers.push_back({absl::StrCat("m", i / 2), i / 2 % 6, static_cast<int>(random.Below(9))});
  FreeDevices free(classes, workers);
  std::vector<int> left;
  for (const OfferedDevices& worker : workers) left.push_back(worker.devices);
  std::vector<std::pair<GangShape, Placement>> gangs;
  int placed = 0;
  for (int i = 0; i < 5000; ++i) {
    if (!gangs.empty() && random.Uniform() < 0.48) {
      const size_t j = random.Below(gangs.size());
      free.Release(gangs[j].second);
      for (const Share& share : gangs[j].second)
        left[static_cast<size_t>(share.worker)] += share.devices;
      gangs.erase(gangs.begin() + static_cast<std::ptrdiff_t>(j));
    } else {
      const int group = 1 + static_cast<int>(random.Below(4));
      constexpr const char* kWithin[] = {"", "machine", "rack"};
      GangShape shape =
          Ranks(group * (1 + static_cast<int>(random.Below(5))), group, kWithin[random.Below(3)]);
      const Placement placement = free.Place(shape);
      if (placement.empty()) continue;
      ++placed;
      int ranks = 0;
      std::vector<int> of_rank;
      for (const Share& share : placement) {
        ranks += share.devices;
        left[static_cast<size_t>(share.worker)] -= share.devices;
        of_rank.insert(of_rank.end(), static_cast<size_t>(share.devices), share.worker);
        EXPECT_EQ(
            classes[static_cast<size_t>(workers[static_cast<size_t>(share.worker)].worker_class)]
                .device_kind,
            classes[static_cast<size_t>(
                        workers[static_cast<size_t>(placement[0].worker)].worker_class)]
                .device_kind);
      }
      ASSERT_EQ(ranks, shape.ranks);
      for (size_t r = 0; r < of_rank.size() && !shape.within.empty(); ++r) {
        const auto& one = workers[static_cast<size_t>(of_rank[r])];
        const auto& first = workers[static_cast<size_t>(
            of_rank[r / static_cast<size_t>(group) * static_cast<size_t>(group)])];
        EXPECT_EQ(shape.within == "machine"
                      ? one.machine
                      : classes[static_cast<size_t>(one.worker_class)].labels.at("rack"),
                  shape.within == "machine"
                      ? first.machine
                      : classes[static_cast<size_t>(first.worker_class)].labels.at("rack"));
      }
      gangs.emplace_back(shape, placement);
    }
    for (size_t w = 0; w < left.size(); ++w) {
      ASSERT_GE(left[w], 0);
      ASSERT_EQ(free.free(static_cast<int>(w)), left[w]);
    }
  }
  EXPECT_GT(placed, 1000);
}

}  // namespace
}  // namespace seer::coordinator
