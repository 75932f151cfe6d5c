// A rank's stream of batches against replicas that misbehave: real gRPC, in this process.
#include "worker/trainer/batch_stream.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/rpc/status_grpc.h"
#include "tests/support/status_matchers.h"

namespace seer::worker {
namespace {

using ::seer::testing::FailsWith;
using ::seer::testing::StatusIs;
using ::testing::ElementsAre;

constexpr absl::Duration kDeadline = absl::Seconds(30);

// One replica, which plays `script` for each of its streams.
class Replica final : public v1::Batches::Service {
 public:
  using Writer = grpc::ServerWriter<v1::BatchMessage>;
  using Script = std::function<grpc::Status(Replica&, const v1::StreamBatchesRequest&, Writer&)>;

  explicit Replica(Script script) : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~Replica() override { Kill(); }
  void Kill() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  const std::string& address() const { return address_; }

  grpc::Status StreamBatches(grpc::ServerContext* context, const v1::StreamBatchesRequest* request,
                             Writer* writer) override {
    {
      absl::MutexLock lock(&mu_);
      first_steps_.push_back(request->first_step());
      context_ = context;
    }
    return script_(*this, *request, *writer);
  }
  bool Send(Writer& writer, int64_t step) {
    v1::BatchMessage message;
    message.set_step(step);
    message.set_first_sample(100 * step);
    auto& crop = *message.add_crops();
    crop.set_views(2);
    crop.set_samples(1);
    crop.set_size(1);
    crop.set_pixels("abcdef");
    message.set_image_ids(std::string(32, static_cast<char>(step)));
    message.add_labels(static_cast<int>(step));
    if (!writer.Write(message)) return false;
    Count();
    return true;
  }
  void Count() {
    absl::MutexLock lock(&mu_);
    ++sent_;
  }
  // What each stream was asked to begin with.
  std::vector<int64_t> first_steps() {
    absl::MutexLock lock(&mu_);
    return first_steps_;
  }
  int sent() {
    absl::MutexLock lock(&mu_);
    return sent_;
  }
  bool WaitForStreams(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto there = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return first_steps_.size() >= count;
    };
    return mu_.AwaitWithTimeout(absl::Condition(&there), kDeadline);
  }
  bool WaitForCancel() {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&cancelled_), kDeadline);
  }
  // Blocks a script until its stream is cancelled or released. Nothing tells a synchronous handler
  // of the former, so it looks.
  void Hang() {
    absl::MutexLock lock(&mu_);
    for (int looks = 0; !cancelled_ && !released_ && looks < 3000; ++looks) {
      mu_.AwaitWithTimeout(absl::Condition(&released_), absl::Milliseconds(10));
      cancelled_ = context_->IsCancelled();
    }
  }
  void Release() {
    absl::MutexLock lock(&mu_);
    released_ = true;
  }

 private:
  const Script script_;
  std::string address_;
  absl::Mutex mu_;
  std::vector<int64_t> first_steps_ ABSL_GUARDED_BY(mu_);
  int sent_ ABSL_GUARDED_BY(mu_) = 0;
  grpc::ServerContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;  // of the newest stream
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false, released_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<grpc::Server> server_;
};

// Sends all that is asked for, or `count` steps, and ends with `status`.
Replica::Script Sends(int64_t count = 1 << 20, grpc::Status status = grpc::Status::OK) {
  return [=](Replica& replica, const v1::StreamBatchesRequest& request, Replica::Writer& writer) {
    const int64_t end = std::min(request.first_step() + count, request.end_step());
    for (int64_t step = request.first_step(); step < end; ++step)
      if (!replica.Send(writer, step)) return grpc::Status::CANCELLED;
    return status;
  };
}

Replica::Script Fails(const absl::Status& status) {
  return [status](Replica&, const v1::StreamBatchesRequest&, Replica::Writer&) {
    return ToGrpc(status);
  };
}

std::unique_ptr<BatchStream> Open(const std::vector<const Replica*>& replicas, int64_t end_step,
                                  BatchStreamOptions options = {}, bool one_epoch = false) {
  v1::StreamBatchesRequest request;
  request.set_end_step(end_step);
  request.set_one_epoch(one_epoch);
  for (const Replica* replica : replicas) options.replicas.push_back(replica->address());
  return std::make_unique<BatchStream>(std::move(request), std::move(options));
}

// Steps until the first status that is not OK, and that status.
std::pair<std::vector<int64_t>, absl::Status> Drain(BatchStream& stream) {
  std::vector<int64_t> steps;
  while (true) {
    const auto batch = stream.Next();
    if (!batch.ok()) return {steps, batch.status()};
    steps.push_back(batch->step);
  }
}

TEST(BatchStreamTest, BatchesComeInOrderAndThenTheEndForGood) {
  Replica replica(Sends());
  const auto stream = Open({&replica}, 6);
  const auto [steps, end] = Drain(*stream);
  EXPECT_THAT(steps, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(stream->Next(), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(BatchStreamTest, ABatchHasWhatTheMessageHad) {
  Replica replica(Sends());
  const auto stream = Open({&replica}, 3);
  ASSERT_OK(stream->Next());
  ASSERT_OK_AND_ASSIGN(const engine::Batch batch, stream->Next());
  EXPECT_EQ(batch.step, 1);
  EXPECT_EQ(batch.first_sample, 100);
  ASSERT_EQ(batch.crops.size(), 1u);
  EXPECT_EQ(batch.crops[0].views, 2);
  EXPECT_EQ(batch.crops[0].samples, 1);
  EXPECT_EQ(batch.crops[0].size, 1);
  EXPECT_EQ(batch.crops[0].pixels.bytes(), "abcdef");
  ASSERT_EQ(batch.image_ids.size(), 1u);
  EXPECT_EQ(batch.image_ids[0][31], 1);
  EXPECT_THAT(batch.labels, ElementsAre(1));
}

TEST(BatchStreamTest, AReplicaThatDrainsIsLeftForTheNextAtTheStepThatIsDue) {
  const absl::Status drains =
      Error(absl::StatusCode::kUnavailable, reason::kShuttingDown, "shutting down");
  Replica first(Sends(3, ToGrpc(drains))), second(Sends());
  const auto stream = Open({&first, &second}, 8);
  EXPECT_THAT(Drain(*stream).first, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(first.first_steps(), ElementsAre(0));
  EXPECT_THAT(second.first_steps(), ElementsAre(3));
}

TEST(BatchStreamTest, AReplicaThatDiesMidStreamIsLeftForTheNext) {
  Replica first([](Replica& replica, const v1::StreamBatchesRequest&, Replica::Writer& writer) {
    for (int64_t step = 0; step < 4; ++step) replica.Send(writer, step);
    replica.Hang();
    return grpc::Status::OK;
  });
  Replica second(Sends());
  const auto stream = Open({&first, &second}, 8);
  for (int64_t step = 0; step < 4; ++step) ASSERT_OK(stream->Next());
  first.Kill();
  EXPECT_THAT(Drain(*stream).first, ElementsAre(4, 5, 6, 7));
}

TEST(BatchStreamTest, AReplicaThatIsNotThereIsPassedOver) {
  Replica gone(Sends()), there(Sends());
  gone.Kill();
  const auto stream = Open({&gone, &there}, 3);
  EXPECT_THAT(Drain(*stream).first, ElementsAre(0, 1, 2));
}

TEST(BatchStreamTest, ARankBeginsWithItsOwnReplica) {
  Replica a(Sends()), b(Sends());
  BatchStreamOptions options;
  options.first_replica = 3;  // of two
  const auto stream = Open({&a, &b}, 2, options);
  EXPECT_THAT(Drain(*stream).first, ElementsAre(0, 1));
  EXPECT_THAT(a.first_steps(), ElementsAre());
  EXPECT_THAT(b.first_steps(), ElementsAre(0));
}

TEST(BatchStreamTest, AWrongStepIsNeverHandedOn) {
  for (const int64_t wrong : {1, 5}) {  // again, or too far
    Replica liar([=](Replica& replica, const v1::StreamBatchesRequest&, Replica::Writer& writer) {
      replica.Send(writer, 0);
      replica.Send(writer, 1);
      replica.Send(writer, wrong);
      return grpc::Status::OK;
    });
    Replica honest(Sends());
    const auto stream = Open({&liar, &honest}, 5);
    EXPECT_THAT(Drain(*stream).first, ElementsAre(0, 1, 2, 3, 4)) << wrong;
    EXPECT_THAT(honest.first_steps(), ElementsAre(2)) << wrong;
  }
}

TEST(BatchStreamTest, AStreamThatEndsTooEarlyGoesOnElsewhere) {
  Replica early(Sends(2)), whole(Sends());
  const auto stream = Open({&early, &whole}, 5);
  EXPECT_THAT(Drain(*stream).first, ElementsAre(0, 1, 2, 3, 4));
}

TEST(BatchStreamTest, AnEpochEndsWhenTheReplicaSaysSo) {
  Replica replica(Sends(2));
  const auto stream = Open({&replica}, 1 << 30, {}, /*one_epoch=*/true);
  const auto [steps, end] = Drain(*stream);
  EXPECT_THAT(steps, ElementsAre(0, 1));
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(BatchStreamTest, WhatWasReadBeforeAFinalErrorComesFirst) {
  const absl::Status bad =
      Error(absl::StatusCode::kDataLoss, reason::kTooManyBadImages, "2 % of the images");
  Replica replica(Sends(3, ToGrpc(bad)));
  const auto stream = Open({&replica}, 10);
  const auto [steps, end] = Drain(*stream);
  EXPECT_THAT(steps, ElementsAre(0, 1, 2));
  const auto fails = FailsWith(absl::StatusCode::kDataLoss, reason::kTooManyBadImages, "2 %");
  EXPECT_THAT(end, fails);
  EXPECT_THAT(stream->Next(), fails) << "an error is final";
  EXPECT_THAT(replica.first_steps(), ElementsAre(0)) << "and not tried again";
}

TEST(BatchStreamTest, AMissingPoolIsFinal) {
  Replica a(Fails(Error(absl::StatusCode::kNotFound, reason::kPoolNotFound, "no pool p")));
  Replica b(Sends());
  const auto stream = Open({&a, &b}, 10);
  EXPECT_THAT(stream->Next(),
              FailsWith(absl::StatusCode::kNotFound, reason::kPoolNotFound, "no pool p"));
}

TEST(BatchStreamTest, ReadsAheadByABoundedNumberOfSteps) {
  Replica replica(
      [](Replica& replica, const v1::StreamBatchesRequest& request, Replica::Writer& writer) {
        v1::BatchMessage message;  // large, so that little of it fits into the buffers below
        for (int64_t step = 0; step < request.end_step(); ++step) {
          message.set_step(step);
          if (step == 0) {
            auto& crop = *message.add_crops();
            crop.set_views(1);
            crop.set_samples(3);
            crop.set_size(1024);
            crop.set_pixels(std::string(9 << 20, 'x'));
          }
          if (!writer.Write(message)) return grpc::Status::CANCELLED;
          replica.Count();
        }
        return grpc::Status::OK;
      });
  BatchStreamOptions options;
  options.prefetch_steps = 2;
  const auto stream = Open({&replica}, 40, options);
  for (int64_t step = 0; step < 10; ++step) ASSERT_OK(stream->Next());
  // 10 taken, 2 ready, 1 in the reader's hand; a few in the transport.
  EXPECT_LE(replica.sent(), 10 + 2 + 1 + 4);
  EXPECT_EQ(Drain(*stream).first.size(), 30u);
}

class StallTest : public ::testing::Test {
 protected:
  StallTest() { options_.stall_limit = absl::Milliseconds(1500); }
  BatchStreamOptions options_;
};

TEST_F(StallTest, NoBatchForTheLimitFailsTheStreamForGood) {
  Replica replica([](Replica& replica, const v1::StreamBatchesRequest&, Replica::Writer& writer) {
    replica.Send(writer, 0);
    replica.Hang();
    replica.Send(writer, 1);  // too late
    return grpc::Status::OK;
  });
  const auto stream = Open({&replica}, 5, options_);
  ASSERT_OK(stream->Next());
  const auto stalled =
      FailsWith(absl::StatusCode::kDeadlineExceeded, reason::kDataStalled, "no batch for 1.5s");
  EXPECT_THAT(stream->Next(), stalled);
  EXPECT_TRUE(replica.WaitForCancel()) << "the call goes on though nobody wants its batches";
  EXPECT_THAT(stream->Next(), stalled) << "an error is final";
}

// It made the error forgotten: the stream went on as if nothing had been said.
TEST_F(StallTest, ABatchThatComesTooLateDoesNotReviveTheStream) {
  Replica replica([](Replica& replica, const v1::StreamBatchesRequest&, Replica::Writer& writer) {
    replica.Hang();
    replica.Send(writer, 0);
    return grpc::Status::OK;
  });
  options_.stall_limit = absl::ZeroDuration();
  const auto stream = Open({&replica}, 5, options_);
  ASSERT_TRUE(replica.WaitForStreams(1));
  EXPECT_THAT(stream->Next(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  replica.Release();
  for (int i = 0; i < 50; ++i) {
    absl::SleepFor(absl::Milliseconds(2));  // what must not come gives no event
    ASSERT_THAT(stream->Next(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
}

TEST_F(StallTest, ReplicasThatAreAllAwayStallItToo) {
  Replica replica(Fails(absl::UnavailableError("starting")));
  const auto stream = Open({&replica}, 5, options_);
  EXPECT_THAT(stream->Next(),
              FailsWith(absl::StatusCode::kDeadlineExceeded, reason::kDataStalled, "no batch"));
}

// It divided by the number of replicas.
TEST(BatchStreamTest, AnAssignmentWithoutReplicasIsAnErrorNotACrash) {
  const auto stream = Open({}, 5);
  EXPECT_THAT(stream->Next(), FailsWith(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
                                        "names no replica"));
}

TEST(BatchStreamTest, TheDestructorCancelsWhateverTheReaderWaitsFor) {
  Replica silent([](Replica& replica, const v1::StreamBatchesRequest&, Replica::Writer&) {
    replica.Hang();
    return grpc::Status::OK;
  });
  auto waits = Open({&silent}, 5);
  ASSERT_TRUE(silent.WaitForStreams(1));
  waits.reset();  // for a message
  EXPECT_TRUE(silent.WaitForCancel());

  Replica eager(Sends());
  BatchStreamOptions options;
  options.prefetch_steps = 1;
  auto full = Open({&eager}, 100, options);
  ASSERT_OK(full->Next());
  full.reset();  // for room

  Replica away(Fails(absl::UnavailableError("away")));
  auto backs_off = Open({&away}, 5);
  ASSERT_TRUE(away.WaitForStreams(3));
  backs_off.reset();  // for the next try
}

}  // namespace
}  // namespace seer::worker
