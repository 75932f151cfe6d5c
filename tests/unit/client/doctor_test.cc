// Each common fault of a set-up is found, and its fix is said.
#include "client/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::client {
namespace {

using ::testing::HasSubstr;

v1::Worker Worker(const std::string& name, const std::string& host, const std::string& address) {
  v1::Worker worker;
  worker.set_name("workers/" + name);
  worker.set_state(v1::WORKER_STATE_UP);
  worker.set_hostname(host);
  worker.set_address(address);
  worker.set_devices(8);
  worker.set_version("1.2.3");
  worker.mutable_heartbeat_time()->set_seconds(1'000'000);
  return worker;
}

// Two machines with nothing wrong.
ClusterFacts Sound() {
  ClusterFacts facts;
  facts.config_path = "/home/ann/.config/seer/config.yaml";
  facts.config_mode = 0600;
  facts.coordinators = {{"head:7070", absl::OkStatus()}};
  facts.dataservices = {{"data:7080", absl::OkStatus()}};
  facts.workers = {Worker("a", "m1", "10.0.0.1"), Worker("b", "m2", "10.0.0.2")};
  v1::Pool pool;
  pool.set_name("pools/photos");
  pool.set_images(9);
  facts.pools = {pool};
  facts.now = absl::FromUnixSeconds(1'000'001);
  facts.version = "1.2.3";
  facts.hostname = "m3";
  facts.shared_memory_bytes = int64_t{8} << 30;
  facts.open_files = 65536;
  return facts;
}

// The results that are not good, as "check: text [fix]".
std::vector<std::string> Complaints(const ClusterFacts& facts) {
  std::vector<std::string> complaints;
  for (const CheckResult& result : Examine(facts)) {
    if (result.state == CheckState::kGood) continue;
    if (result.state != CheckState::kUnknown)
      EXPECT_NE(result.fix, "") << result.check << ": " << result.text;
    complaints.push_back(absl::StrCat(CheckStateName(result.state), " ", result.check, ": ",
                                      result.text, " [", result.fix, "]"));
  }
  return complaints;
}
// The only one.
std::string Complaint(const ClusterFacts& facts) {
  const std::vector<std::string> complaints = Complaints(facts);
  EXPECT_EQ(complaints.size(), 1u) << ::testing::PrintToString(complaints);
  return complaints.empty() ? "" : complaints[0];
}

TEST(Doctor, ASoundClusterIsSound) {
  EXPECT_THAT(Complaints(Sound()), ::testing::IsEmpty());
  EXPECT_TRUE(AllGood(Examine(Sound())));
}

TEST(Doctor, NoClusterIsNamed) {
  ClusterFacts facts = Sound();
  facts.coordinators.clear();
  const std::vector<std::string> complaints = Complaints(facts);
  EXPECT_THAT(complaints[0], HasSubstr("bad config: no coordinator is named; looked in /home/ann"));
  EXPECT_THAT(complaints[0], HasSubstr("seer cluster up"));
  EXPECT_FALSE(AllGood(Examine(facts)));
}

TEST(Doctor, CredentialsThatEnd) {
  ClusterFacts facts = Sound();
  facts.expiries = {{"the token of tokens/ann", facts.now + absl::Hours(24 * 15), "ask for one"}};
  EXPECT_THAT(Complaints(facts), ::testing::IsEmpty());
  facts.expiries[0].at = facts.now + absl::Hours(24 * 14);
  EXPECT_EQ(Complaint(facts),
            "warning credentials: the token of tokens/ann expires at 1970-01-26 13:46Z [ask for "
            "one]");
  facts.expiries[0].at = facts.now;
  EXPECT_EQ(Complaint(facts),
            "bad credentials: the token of tokens/ann expired at 1970-01-12 13:46Z [ask for one]");
}

TEST(Doctor, ACoordinatorThatDoesNotAnswer) {
  ClusterFacts facts = Sound();
  facts.coordinators[0].status = absl::UnavailableError("Connection refused");
  facts.workers.clear();
  const std::vector<std::string> complaints = Complaints(facts);
  EXPECT_THAT(complaints[0],
              HasSubstr("bad coordinator: head:7070 does not answer: Connection refused"));
  EXPECT_THAT(complaints[0], HasSubstr("--listen"));
  EXPECT_THAT(complaints.back(), HasSubstr("unknown jobs: no coordinator answers"));
}

TEST(Doctor, OfSeveralCoordinatorsOneMustLead) {
  ClusterFacts facts = Sound();
  const absl::Status stands_by =
      Error(absl::StatusCode::kUnavailable, reason::kNotLeader, "head-1 leads");
  facts.coordinators = {{"head-0:7070", stands_by}, {"head-1:7070", absl::OkStatus()}};
  EXPECT_THAT(Complaints(facts), ::testing::IsEmpty());
  facts.coordinators[1].status = stands_by;
  EXPECT_THAT(Complaints(facts)[0], HasSubstr("bad coordinator: nobody leads"));
  for (ServerAnswer& server : facts.coordinators) server.status = absl::OkStatus();
  EXPECT_THAT(Complaint(facts), HasSubstr("each has a database of its own"));
}

TEST(Doctor, ADataServiceThatDoesNotAnswerOrIsNotNamed) {
  ClusterFacts facts = Sound();
  facts.dataservices[0].status =
      Error(absl::StatusCode::kUnauthenticated, reason::kInvalidArgument, "who are you?")
          .Hint("seer auth login");
  EXPECT_THAT(Complaints(facts)[0], HasSubstr("[seer auth login]"));
  facts.dataservices.clear();
  EXPECT_THAT(Complaints(facts)[0], HasSubstr("warning dataservice: no data service is named"));
}

TEST(Doctor, WorkersThatAreLostCordonedOrWithoutDevices) {
  ClusterFacts facts = Sound();
  facts.workers[0].set_state(v1::WORKER_STATE_LOST);
  EXPECT_THAT(Complaint(facts), HasSubstr("warning workers: lost: a"));
  facts.workers[0] = Worker("a", "m1", "10.0.0.1");
  facts.workers[0].mutable_cordon()->set_reason("loud fan");
  EXPECT_THAT(Complaint(facts), HasSubstr("seer worker uncordon"));
  facts.workers[0] = Worker("a", "m1", "10.0.0.1");
  facts.workers[0].set_devices(0);
  EXPECT_THAT(Complaint(facts), HasSubstr("nvidia-smi"));
  facts.workers.pop_back();
  EXPECT_THAT(Complaints(facts).back(), HasSubstr("no worker offers a device"));
}

TEST(Doctor, WorkersThatOthersCannotReach) {
  ClusterFacts facts = Sound();
  facts.workers[1].set_address("127.0.0.1");
  EXPECT_THAT(Complaint(facts), HasSubstr("cannot reach b"));
  facts.workers[1].set_address("10.0.0.1");
  EXPECT_THAT(Complaint(facts), HasSubstr("m1 and m2 both have the address 10.0.0.1"));
  facts.workers[1].set_address("10.0.0.2");
  facts.coordinators[0].address = "localhost:7070";
  EXPECT_THAT(Complaint(facts), HasSubstr("other machines cannot reach"));
}

TEST(Doctor, OneMachineMayUseItsLoopback) {
  ClusterFacts facts = Sound();
  for (v1::Worker& worker : facts.workers) {
    worker.set_hostname("m1");
    worker.set_address("127.0.0.1");
  }
  facts.coordinators[0].address = "127.0.0.1:7070";
  EXPECT_THAT(Complaints(facts), ::testing::IsEmpty());
}

TEST(Doctor, VersionsAndClocksThatDiffer) {
  ClusterFacts facts = Sound();
  facts.workers[1].set_version("1.2.2");
  EXPECT_THAT(Complaint(facts), HasSubstr("b: 1.2.2; this program: 1.2.3"));
  facts.workers[1].set_version("1.2.3");
  facts.now += absl::Minutes(5);
  EXPECT_THAT(Complaint(facts), HasSubstr("ahead of the coordinator's"));
  facts.now -= absl::Minutes(10);
  EXPECT_THAT(Complaint(facts), HasSubstr("behind the coordinator's"));
}

TEST(Doctor, NothingToTrainOnAndNowhereToTrain) {
  ClusterFacts facts = Sound();
  facts.pools.clear();
  EXPECT_THAT(Complaint(facts), HasSubstr("seer pool create"));
  facts = Sound();
  v1::Job job;
  job.mutable_spec()->mutable_metadata()->set_name("huge");
  job.mutable_wait()->set_reason("capacity");
  job.mutable_wait()->set_message("512 ranks, 16 devices");
  facts.jobs = {job};
  EXPECT_THAT(Complaint(facts), HasSubstr("huge can never start: 512 ranks, 16 devices"));
  facts.jobs[0].mutable_wait()->set_reason("devices");
  EXPECT_THAT(Complaints(facts), ::testing::IsEmpty()) << "it starts in its turn";
  facts.jobs[0].set_storage_warning("3 % are free");
  EXPECT_THAT(Complaint(facts), HasSubstr("seer checkpoint prune"));
}

TEST(Doctor, ThisMachinesLimits) {
  ClusterFacts facts = Sound();
  facts.shared_memory_bytes = 64 << 20;
  EXPECT_THAT(Complaints(facts), ::testing::IsEmpty()) << "nothing trains here";
  facts.hostname = "m2";
  EXPECT_THAT(Complaint(facts), HasSubstr("--shm-size"));
  facts.hostname = "m3";
  facts.open_files = 1024;
  EXPECT_THAT(Complaint(facts), HasSubstr("LimitNOFILE"));
  facts.open_files = 65536;
  facts.config_mode = 0644;
  EXPECT_THAT(Complaint(facts), HasSubstr("chmod 600"));
}

TEST(Doctor, JsonSaysTheSame) {
  ClusterFacts facts = Sound();
  facts.pools.clear();
  const auto json = nlohmann::json::parse(DoctorJson(Examine(facts)));
  EXPECT_EQ(json["good"], true) << "a warning is not bad";
  for (const auto& check : json["checks"]) {
    EXPECT_EQ(check["state"], check["check"] == "pools" ? "warning" : "good") << check;
    EXPECT_EQ(check.contains("fix"), check["check"] == "pools");
  }
}

}  // namespace
}  // namespace seer::client
