#include "worker/trainer/replica_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/synchronization/notification.h"

namespace seer::worker {
namespace {

v1::ReplicaLoad Load(double wanted, double stream_wanted = 0) {
  v1::ReplicaLoad load;
  load.set_wanted(wanted);
  load.set_stream_wanted(stream_wanted);
  return load;
}

TEST(MoveProbability, IsThatWhichMakesTwoReplicasAlike) {
  // Four equal readers at one, none at the other: half of them are to move.
  EXPECT_DOUBLE_EQ(MoveProbability(Load(1.2, 0.3), Load(0)), 0.5);
  EXPECT_DOUBLE_EQ(MoveProbability(Load(0.9, 0.3), Load(0.3)), 1.0 / 3);
  EXPECT_EQ(MoveProbability(Load(0.6, 0.3), Load(0.6)), 0);
  EXPECT_EQ(MoveProbability(Load(0.6, 0.3), Load(0.3)), 0) << "they would only change places";
  EXPECT_EQ(MoveProbability(Load(0.3, 0.3), Load(0)), 0) << "one reader stays";
  EXPECT_EQ(MoveProbability(Load(1.2), Load(0)), 0) << "its stream is not there yet";
  v1::ReplicaLoad draining = Load(0);
  draining.set_draining(true);
  EXPECT_EQ(MoveProbability(Load(1.2, 0.3), draining), 0);
  v1::ReplicaLoad leaving = Load(0.3, 0.3);
  leaving.set_draining(true);
  EXPECT_EQ(MoveProbability(leaving, Load(5)), 1);
}

// Replicas that are asked without a network.
class ReplicaChoiceTest : public ::testing::Test {
 protected:
  ReplicaChoiceOptions Options(std::vector<std::string> replicas) const {
    ReplicaChoiceOptions options;
    options.replicas = std::move(replicas);
    options.job = "jobs/j";
    options.rank = 3;
    options.period = absl::Milliseconds(5);
    options.silence = absl::Milliseconds(20);
    return options;
  }
  ReplicaChoice::Ask Asks() {
    return [this](const std::string& replica,
                  const v1::GetReplicaLoadRequest& request) -> absl::StatusOr<v1::ReplicaLoad> {
      absl::MutexLock lock(&mu_);
      requests_[replica].push_back(request);
      if (!loads_.contains(replica)) return absl::UnavailableError("silent");
      return loads_[replica];
    };
  }
  std::function<void()> Leaves() {
    return [this] {
      absl::MutexLock lock(&mu_);
      ++left_;
    };
  }
  bool WaitUntilLeft() {
    absl::MutexLock lock(&mu_);
    const auto left = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return left_ > 0; };
    return mu_.AwaitWithTimeout(absl::Condition(&left), absl::Seconds(30));
  }
  // Until the replica has been asked so often.
  bool WaitUntilAsked(const std::string& replica, size_t times) {
    absl::MutexLock lock(&mu_);
    const auto asked = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return requests_[replica].size() >= times;
    };
    return mu_.AwaitWithTimeout(absl::Condition(&asked), absl::Seconds(30));
  }
  absl::Mutex mu_;
  std::map<std::string, v1::ReplicaLoad> loads_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<v1::GetReplicaLoadRequest>> requests_ ABSL_GUARDED_BY(mu_);
  int left_ ABSL_GUARDED_BY(mu_) = 0;
};

TEST_F(ReplicaChoiceTest, GoesThroughReplicasInOrderFromItsOwn) {
  ReplicaChoiceOptions options = Options({"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"});
  options.first = 4;
  ReplicaChoice choice(options, Asks(), Leaves());
  EXPECT_EQ(choice.Next(), "10.0.0.2:1");
  EXPECT_EQ(choice.Next(), "10.0.0.3:1");
  EXPECT_EQ(choice.Next(), "10.0.0.1:1");
  EXPECT_EQ(ReplicaChoice(Options({}), Asks(), Leaves()).Next(), "");
}

TEST_F(ReplicaChoiceTest, MovesToTheOneWithLessToDo) {
  loads_ = {{"10.0.0.1:1", Load(9, 1)}, {"10.0.0.2:1", Load(8.9)}, {"10.0.0.3:1", Load(0.1)}};
  ReplicaChoice choice(Options({"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}), Asks(), Leaves());
  EXPECT_EQ(choice.Next(), "10.0.0.1:1");
  ASSERT_TRUE(WaitUntilLeft());
  EXPECT_EQ(choice.Next(), "10.0.0.3:1");
  absl::MutexLock lock(&mu_);
  EXPECT_EQ(requests_["10.0.0.1:1"][0].job(), "jobs/j");
  EXPECT_EQ(requests_["10.0.0.1:1"][0].rank(), 3);
  EXPECT_EQ(requests_["10.0.0.3:1"][0].job(), "") << "it has no stream there";
}

TEST_F(ReplicaChoiceTest, StaysWhereAllAreAlike) {
  loads_ = {{"10.0.0.1:1", Load(2, 1)}, {"10.0.0.2:1", Load(1.5)}};
  ReplicaChoice choice(Options({"10.0.0.1:1", "10.0.0.2:1"}), Asks(), Leaves());
  choice.Next();
  ASSERT_TRUE(WaitUntilAsked("10.0.0.2:1", 20));
  absl::MutexLock lock(&mu_);
  EXPECT_EQ(left_, 0);
}

TEST_F(ReplicaChoiceTest, LeavesASilentReplicaThatIsWaitedFor) {
  loads_ = {{"10.0.0.2:1", Load(0)}};
  ReplicaChoice choice(Options({"10.0.0.1:1", "10.0.0.2:1"}), Asks(), Leaves());
  EXPECT_EQ(choice.Next(), "10.0.0.1:1");
  ASSERT_TRUE(WaitUntilAsked("10.0.0.1:1", 20));
  {
    absl::MutexLock lock(&mu_);
    EXPECT_EQ(left_, 0) << "nobody waits for it";
  }
  choice.BeginWait();
  ASSERT_TRUE(WaitUntilLeft());
  EXPECT_EQ(choice.Next(), "10.0.0.2:1");
}

TEST_F(ReplicaChoiceTest, TellsHowMuchOfItsTimeTheTrainingLoopWaited) {
  loads_ = {{"10.0.0.1:1", Load(1, 1)}};
  ReplicaChoice choice(Options({"10.0.0.1:1"}), Asks(), Leaves());
  choice.Next();
  ASSERT_TRUE(WaitUntilAsked("10.0.0.1:1", 2));
  choice.BeginWait();
  ASSERT_TRUE(WaitUntilAsked("10.0.0.1:1", 6));
  choice.EndWait();
  size_t ended;
  {
    absl::MutexLock lock(&mu_);
    ended = requests_["10.0.0.1:1"].size();
  }
  ASSERT_TRUE(WaitUntilAsked("10.0.0.1:1", ended + 3));
  absl::MutexLock lock(&mu_);
  const auto& asked = requests_["10.0.0.1:1"];
  EXPECT_EQ(asked[0].stall_ratio(), 0);
  EXPECT_GT(asked[4].stall_ratio(), 0.99) << "waiting all the time";
  EXPECT_EQ(asked[ended + 2].stall_ratio(), 0);
}

}  // namespace
}  // namespace seer::worker
