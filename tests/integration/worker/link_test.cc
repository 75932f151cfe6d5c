#include "worker/agent/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/worker/fake_coordinator.h"

namespace seer::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Heard = testing::FakeCoordinator::Heard;
using internal::v1::AgentMessage;
using internal::v1::CoordinatorMessage;

constexpr absl::Duration kDeadline = absl::Seconds(30);

AgentMessage Line(const std::string& text) {
  AgentMessage message;
  message.mutable_logs()->add_lines()->set_text(text);
  return message;
}

// Ends each stream with the same status.
class RefusingCoordinator final : public internal::v1::Agents::Service {
 public:
  RefusingCoordinator() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~RefusingCoordinator() override { server_->Shutdown(); }
  const std::string& address() const { return address_; }
  void Answer(const grpc::Status& status) {
    absl::MutexLock lock(&mu_);
    status_ = status;
    calls_ = 0;
  }
  bool WaitForCalls(int count) {
    absl::MutexLock lock(&mu_);
    const auto there = [&] { return calls_ >= count; };
    return mu_.AwaitWithTimeout(absl::Condition(&there), kDeadline);
  }
  grpc::Status Connect(grpc::ServerContext*,
                       grpc::ServerReaderWriter<CoordinatorMessage, AgentMessage>*) override {
    absl::MutexLock lock(&mu_);
    ++calls_;
    return status_;
  }

 private:
  absl::Mutex mu_;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

class LinkTest : public ::testing::Test {
 protected:
  void Dial() { Dial(coordinator_.address()); }
  void Dial(const std::string& coordinators) {
    link_ = std::make_unique<Link>(coordinators, nullptr,
                                   LinkCallbacks{[] {
                                                   AgentMessage message;
                                                   message.mutable_hello()->set_worker("w1");
                                                   return message;
                                                 },
                                                 [this](CoordinatorMessage) {
                                                   absl::MutexLock lock(&mu_);
                                                   ++received_;
                                                 },
                                                 [this](std::deque<AgentMessage> unsent) {
                                                   absl::MutexLock lock(&mu_);
                                                   ++closed_;
                                                   unsent_ = std::move(unsent);
                                                 }});
  }
  bool WaitForReceived(int count) { return Wait(received_, count); }
  bool WaitForClosed(int count) { return Wait(closed_, count); }
  bool Wait(int& value, int count) {
    absl::MutexLock lock(&mu_);
    const auto there = [&] { return value >= count; };
    return mu_.AwaitWithTimeout(absl::Condition(&there), kDeadline);
  }
  testing::FakeCoordinator coordinator_;
  absl::Mutex mu_;
  int received_ = 0, closed_ = 0;
  std::deque<AgentMessage> unsent_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Link> link_;
};

TEST_F(LinkTest, NothingCanBeSentBeforeTheWelcome) {
  coordinator_.Stop();
  Dial();
  EXPECT_FALSE(link_->Send(Line("lost")));
  coordinator_.Start();
  ASSERT_TRUE(WaitForReceived(1));
  EXPECT_TRUE(link_->Send(Line("sent")));
  EXPECT_TRUE(coordinator_.WaitForLine("0: sent"));
}

TEST_F(LinkTest, MessagesArriveInTheirOrder) {
  Dial();
  ASSERT_TRUE(WaitForReceived(1));
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(link_->Send(Line(absl::StrCat(i))));
  ASSERT_TRUE(coordinator_.WaitForLine("0: 499"));
  const auto lines = coordinator_.heard().lines;
  ASSERT_EQ(lines.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(lines[static_cast<size_t>(i)], absl::StrCat("0: ", i));
  // The write of the newest may return after its message arrived.
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (link_->unsent_bytes() > 0 && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(link_->unsent_bytes(), 0u);
}

TEST_F(LinkTest, DialsAgainWithANewHello) {
  Dial();
  ASSERT_TRUE(WaitForReceived(1));
  coordinator_.HangUp();
  ASSERT_TRUE(WaitForClosed(1));
  ASSERT_TRUE(WaitForReceived(2));
  EXPECT_EQ(coordinator_.heard().hellos.size(), 2u);
  EXPECT_TRUE(link_->Send(Line("again")));
  EXPECT_TRUE(coordinator_.WaitForLine("0: again"));
}

TEST_F(LinkTest, ASlowReaderIsGivenABoundedAmountAndTheRestComesBack) {
  Dial();
  ASSERT_TRUE(WaitForReceived(1));
  coordinator_.SetReading(false);
  const AgentMessage large = Line(std::string(1 << 20, 'x'));
  int taken = 0;
  while (link_->Send(large)) ++taken;
  EXPECT_LE(link_->unsent_bytes(), Link::kMaxUnsentBytes);
  EXPECT_GE(taken, 60) << "so many fit in at least";
  EXPECT_LE(taken, 200) << "and Send does not take them for ever";
  coordinator_.HangUp();
  ASSERT_TRUE(WaitForClosed(1));
  absl::MutexLock lock(&mu_);
  EXPECT_GE(unsent_.size(), 50u);
}

TEST_F(LinkTest, TheDestructorEndsAWriteThatNobodyReads) {
  Dial();
  ASSERT_TRUE(WaitForReceived(1));
  coordinator_.SetReading(false);
  while (link_->Send(Line(std::string(1 << 20, 'x')))) {
  }
  link_.reset();  // must not hang
  EXPECT_EQ(closed_, 1);
}

TEST_F(LinkTest, OfSeveralCoordinatorsOneThatSaysNothingIsLeftForAnother) {
  testing::FakeCoordinator other;
  other.SetWelcoming(false);
  Dial(coordinator_.address() + "," + other.address());
  const auto wait_for = [this](int count) {
    const absl::Time deadline = absl::Now() + kDeadline;
    while (absl::Now() < deadline) {
      link_->LeaveSilent(absl::Milliseconds(200));
      absl::SleepFor(absl::Milliseconds(20));
      absl::MutexLock lock(&mu_);
      if (received_ >= count) return true;
    }
    return false;
  };
  ASSERT_TRUE(wait_for(1));
  // The one that welcomed it falls silent, and the other one wakes up.
  coordinator_.SetWelcoming(false);
  other.SetWelcoming(true);
  ASSERT_TRUE(wait_for(2));
  EXPECT_TRUE(link_->Send(Line("here")));
  EXPECT_TRUE(other.WaitForLine("0: here"));
}

TEST_F(LinkTest, TheOnlyCoordinatorIsNotLeft) {
  Dial();
  ASSERT_TRUE(WaitForReceived(1));
  link_->LeaveSilent(absl::ZeroDuration());
  EXPECT_TRUE(link_->Send(Line("still here")));
  EXPECT_TRUE(coordinator_.WaitForLine("0: still here"));
  EXPECT_EQ(coordinator_.heard().hellos.size(), 1u);
}

TEST(LinkLog, ARefusalIsNoUnreachableCoordinator) {
  RefusingCoordinator coordinator;
  const auto said = [&](const grpc::Status& status) {
    coordinator.Answer(status);
    ::testing::internal::CaptureStderr();
    {
      Link link(coordinator.address(), nullptr,
                LinkCallbacks{[] { return AgentMessage(); }, [](CoordinatorMessage) {},
                              [](std::deque<AgentMessage>) {}});
      EXPECT_TRUE(coordinator.WaitForCalls(2));  // the first has been logged
    }
    return ::testing::internal::GetCapturedStderr();
  };
  const std::string refused =
      said(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the call carries no token"));
  EXPECT_THAT(refused, HasSubstr("authentication_failed"));
  EXPECT_THAT(refused, HasSubstr("the call carries no token"));
  EXPECT_THAT(refused, HasSubstr("--token-file"));
  EXPECT_THAT(refused, Not(HasSubstr("coordinator_unreachable")));
  const std::string away = said(grpc::Status(grpc::StatusCode::UNAVAILABLE, "it stands by"));
  EXPECT_THAT(away, HasSubstr("coordinator_unreachable"));
  EXPECT_THAT(away, Not(HasSubstr("authentication_failed")));
}

TEST_F(LinkTest, TheDestructorEndsABackOff) {
  coordinator_.Stop();
  Dial();
  link_.reset();  // must not hang
  EXPECT_EQ(closed_, 0) << "it was never open";
}

}  // namespace
}  // namespace seer::worker
