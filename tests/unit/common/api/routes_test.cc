#include "common/api/routes.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/api/api_files.h"

namespace seer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Of all public services, by what the protos say.
std::set<std::string> PublicMethods() {
  google::protobuf::FileDescriptorSet files;
  files.ParseFromString(std::string(Protoset()));
  std::set<std::string> methods;
  for (const auto& file : files.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method())
        methods.insert(absl::StrCat(file.package(), ".", service.name(), ".", method.name()));
    }
  }
  return methods;
}

TEST(Routes, HaveEveryPublicMethodOrSayWhyNot) {
  std::set<std::string> known;
  for (const Route& route : Routes()) known.insert(std::string(route.rpc));
  for (const NoRoute& none : NotRouted()) {
    EXPECT_TRUE(known.insert(std::string(none.rpc)).second) << none.rpc << " has a route";
    EXPECT_GT(none.why.size(), 20u) << none.rpc;
  }
  EXPECT_EQ(known, PublicMethods());
}

TEST(Routes, FitTheirMethods) {
  std::set<std::string> seen;
  for (const Route& route : Routes()) {
    EXPECT_TRUE(seen.insert(absl::StrCat(route.verb, " ", ReadablePath(route).path)).second)
        << route.path << " stands twice";
    const auto& method = MethodOf(route);
    EXPECT_FALSE(method.client_streaming()) << route.rpc;
    const auto* request = method.input_type();
    if (!route.body.empty() && route.body != "*")
      EXPECT_NE(request->FindFieldByName(std::string(route.body)), nullptr) << route.rpc;
    if (!route.resume_field.empty()) {
      EXPECT_NE(request->FindFieldByName(std::string(route.resume_field)), nullptr) << route.rpc;
      EXPECT_NE(method.output_type()->FindFieldByName(std::string(route.number_field)), nullptr)
          << route.rpc;
    }
    // AIP-131 to 136.
    const std::string name = std::string(method.name());
    if (absl::StartsWith(name, "Get") || absl::StartsWith(name, "Watch"))
      EXPECT_EQ(route.verb, "GET") << name;
    if (absl::StartsWith(name, "Update")) EXPECT_EQ(route.verb, "PATCH") << name;
    if (absl::StartsWith(name, "Delete")) EXPECT_EQ(route.verb, "DELETE") << name;
    if (absl::StartsWith(name, "Create")) EXPECT_EQ(route.verb, "POST") << name;
    EXPECT_TRUE(route.verb != "GET" || route.body.empty()) << route.rpc;
  }
}

TEST(Routes, AreFound) {
  const auto rpc = [](const char* verb, const char* path) {
    const Match match = FindRoute(verb, path);
    return match.route == nullptr ? std::string() : std::string(match.route->rpc);
  };
  EXPECT_EQ(rpc("GET", "/v1/jobs"), "seer.v1.Jobs.ListJobs");
  EXPECT_EQ(rpc("POST", "/v1/jobs"), "seer.v1.Jobs.CreateJob");
  EXPECT_EQ(rpc("POST", "/v1/jobs:plan"), "seer.v1.Jobs.PlanJob");
  EXPECT_EQ(rpc("POST", "/v1/jobs/a:pause"), "seer.v1.Jobs.PauseJob");
  EXPECT_EQ(rpc("GET", "/v1/checkpoints"), "seer.v1.Checkpoints.ListCheckpoints");
  EXPECT_EQ(rpc("GET", "/v1/jobs/a/checkpoints"), "seer.v1.Checkpoints.ListCheckpoints");
  for (const char* none : {"/", "", "/v1", "/v1/", "/v1/jobs/", "/v1//", "/v2/jobs", "/v1/jobs/a/b",
                           "/v1/jobs/a/checkpoints/1/2", "v1/jobs:"})
    EXPECT_EQ(rpc("GET", none), "") << none;
}

TEST(Routes, GiveTheNamesOfAPath) {
  EXPECT_THAT(FindRoute("GET", "/v1/jobs/a%2Fb%3A").variables,
              ElementsAre(Pair("name", "jobs/a/b:")));
  EXPECT_THAT(FindRoute("GET", "/v1/jobs/a/checkpoints/20").variables,
              ElementsAre(Pair("name", "jobs/a/checkpoints/20")));
  EXPECT_THAT(FindRoute("POST", "/v1/jobs/a/checkpoints:prune").variables,
              ElementsAre(Pair("parent", "jobs/a")));
  EXPECT_THAT(FindRoute("PATCH", "/v1/queues/q").variables,
              ElementsAre(Pair("queue.name", "queues/q")));
  // A name may have a ':'; a verb is what is known as one.
  EXPECT_THAT(FindRoute("GET", "/v1/workers/host:1").variables,
              ElementsAre(Pair("name", "workers/host:1")));
  EXPECT_THAT(FindRoute("POST", "/v1/workers/host:1:drain").variables,
              ElementsAre(Pair("name", "workers/host:1")));
}

TEST(Routes, SayWhichVerbsAPathTakes) {
  EXPECT_THAT(FindRoute("PUT", "/v1/jobs").verbs, ElementsAre("POST", "GET"));
  EXPECT_THAT(FindRoute("GET", "/v1/jobs/a:pause").verbs, ElementsAre("POST"));
  EXPECT_THAT(FindRoute("GET", "/v1/none").verbs, IsEmpty());
}

TEST(PercentDecoding, LeavesWhatIsNone) {
  EXPECT_EQ(PercentDecoded("a%20b%2f%2F"), "a b//");
  EXPECT_EQ(PercentDecoded("100%"), "100%");
  EXPECT_EQ(PercentDecoded("%2"), "%2");
  EXPECT_EQ(PercentDecoded("%zz%+1"), "%zz%+1");
}

}  // namespace
}  // namespace seer
