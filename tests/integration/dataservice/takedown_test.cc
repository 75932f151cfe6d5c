// Takedowns over real gRPC: a stream in progress and older generations get substitutes, the bytes
// go, and the steps that saw an image are those that the order says.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/objectstore/local_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/serve/takedown_watch.h"
#include "seer/v1/batches.grpc.pb.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

namespace fs = std::filesystem;
using testing::MakePng;
using testing::ReadFile;
using testing::WriteFile;

constexpr int kImages = 60;

class TakedownTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < kImages; ++i)
      WriteFile(dir_ / absl::StrCat("images/", 1000 + i, ".png"), ImageOf(i));
    server_ = Start();
    ASSERT_OK(CreatePool(*server_, "p"));
    ASSERT_OK(IngestPool(*server_, "p", {dir_ / "images"}));
    channel_ = MakeChannel({absl::StrCat("127.0.0.1:", server_->port())});
  }
  std::unique_ptr<DataServer> Start() {
    auto server = StartServer(dir_ / "pools");
    EXPECT_OK(server);
    return std::move(*server);
  }
  static std::string ImageOf(int i) { return MakePng(20 + i % 7, 24, static_cast<uint32_t>(i)); }
  static std::string IdOf(int i) { return Sha256Hex(ImageOf(i)); }

  absl::StatusOr<v1::TakedownProgress> TakeDown(const std::vector<std::string>& ids,
                                                const std::string& why = "asked",
                                                bool dry_run = false,
                                                const std::string& pool = "p") {
    v1::TakeDownImagesRequest request;
    request.set_name("pools/" + pool);
    for (const auto& id : ids) request.add_image_ids(id);
    request.set_reason(why);
    request.set_dry_run(dry_run);
    grpc::ClientContext context;
    const auto stream = pools()->TakeDownImages(&context, request);
    v1::TakedownProgress progress, last;
    while (stream->Read(&progress)) last = progress;
    SEER_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
    return last;
  }

  absl::StatusOr<std::vector<v1::FoundSamples>> Find(const v1::FindSamplesRequest& request) {
    grpc::ClientContext context;
    const auto stream = pools()->FindSamples(&context, request);
    std::vector<v1::FoundSamples> found;
    for (v1::FoundSamples message; stream->Read(&message);) found.push_back(message);
    SEER_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
    return found;
  }
  v1::FindSamplesRequest Question(const std::vector<std::string>& ids, int64_t end) {
    v1::FindSamplesRequest request;
    request.set_name("pools/p");
    request.set_generation(1);
    request.set_seed(7);
    for (const auto& id : ids) request.add_image_ids(id);
    request.set_end_sample(end);
    return request;
  }

  std::unique_ptr<v1::Pools::Stub> pools() { return v1::Pools::NewStub(channel_); }

  static std::string IdAt(const v1::BatchMessage& message, int sample) {
    return ToHex(
        absl::string_view(message.image_ids()).substr(static_cast<size_t>(sample) * 32, 32));
  }
  // No file of the pool has the image's bytes.
  void ExpectGone(int image) {
    const std::string bytes = ImageOf(image).substr(40);
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_ / "pools")) {
      if (!entry.is_regular_file()) continue;
      ++files;
      EXPECT_FALSE(absl::StrContains(ReadFile(entry.path()), bytes)) << entry.path();
    }
    EXPECT_GT(files, 3);
  }

  testing::TempDir dir_;
  std::unique_ptr<DataServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(TakedownTest, AStreamInProgressGetsSubstitutesAndTheBytesGo) {
  const std::string taken = IdOf(11);
  // A trainer in the middle of a long job, on generation 1, at another replica than the command.
  const auto replica = Start();
  const auto channel = MakeChannel({absl::StrCat("127.0.0.1:", replica->port())});
  auto request = BatchesOf("p", 1'000'000, 12);
  request.set_max_bad_ratio(0);  // also a takedown that the replica has not heard of is no damage
  grpc::ClientContext context;
  const auto stream = v1::Batches::NewStub(channel)->StreamBatches(&context, request);
  v1::BatchMessage message;
  std::set<int64_t> before;  // samples that showed it
  for (int step = 0; step < 20; ++step) {
    ASSERT_TRUE(stream->Read(&message));
    EXPECT_EQ(message.substituted_size(), 0);
    for (int i = 0; i < 12; ++i)
      if (IdAt(message, i) == taken) before.insert(message.first_sample() + i);
  }
  EXPECT_EQ(before.size(), 4u);  // 240 samples of 60 images

  const auto done = TakeDown({taken});
  ASSERT_OK(done);
  EXPECT_TRUE(done->done());
  EXPECT_EQ(done->rows(), 1);
  EXPECT_EQ(done->shards_rewritten(), 1);
  EXPECT_EQ(done->takedown().generation(), 2);
  EXPECT_TRUE(done->takedown().has_finish_time());
  ExpectGone(11);
  ASSERT_OK(TakeDown({taken}));  // it was finished before
  EXPECT_THAT(MetricsOf(*server_),
              ::testing::AllOf(::testing::HasSubstr("seer_pool_takedowns_total{pool=\"p\"} 1\n"),
                               ::testing::HasSubstr("seer_pool_takedown_seconds_count 1\n")));

  // The stream goes on. Within the interval and the batches in flight the image is no longer sent.
  const absl::Duration limit = Clock::Real().Steady() + absl::Seconds(60);
  bool substituted = false;
  while (!substituted) {
    ASSERT_LT(Clock::Real().Steady(), limit) << "the replica does not look";
    ASSERT_TRUE(stream->Read(&message));
    substituted = message.substituted_size() > 0;
  }
  const int64_t first = message.step();
  // Those that had begun with it may have read the image before its bytes went.
  for (int step = 0; step < 4; ++step) ASSERT_TRUE(stream->Read(&message));
  for (int step = 0; step < 30; ++step) {
    ASSERT_TRUE(stream->Read(&message));
    for (int i = 0; i < 12; ++i) EXPECT_NE(IdAt(message, i), taken) << message.step();
  }
  context.TryCancel();

  // Both replicas send the same from now on, once each has looked, for the whole order of
  // generation 1; what was substituted is where the order has the image.
  std::map<int64_t, std::string> order;
  for (int64_t step = 0; step < 20; ++step) {
    v1::ListSamplesRequest samples;
    samples.set_name("pools/p");
    samples.set_generation(1);
    samples.set_seed(7);
    samples.set_step(step);
    samples.set_global_batch(12);
    grpc::ClientContext call;
    v1::ListSamplesResponse response;
    ASSERT_OK(FromGrpc(pools()->ListSamples(&call, samples, &response)));
    for (const v1::Sample& sample : response.samples())
      order[sample.sample_index()] = sample.image_id();
  }
  EXPECT_GE(first, 20);
  request.set_end_step(20);
  const auto again = StreamBatches(*replica, request), other = StreamBatches(*server_, request);
  ASSERT_OK(again);
  ASSERT_OK(other);
  std::set<int64_t> substitutes;
  for (size_t step = 0; step < 20; ++step) {
    EXPECT_EQ((*again)[step].SerializeAsString(), (*other)[step].SerializeAsString());
    for (const int sample : (*again)[step].substituted())
      substitutes.insert((*again)[step].first_sample() + sample);
  }
  EXPECT_EQ(substitutes, before);

  // The steps that are computed are those of the walk and those that were seen.
  const auto found = Find(Question({taken}, 240));
  ASSERT_OK(found);
  ASSERT_EQ(found->size(), 1u);
  std::set<int64_t> computed((*found)[0].sample_indices().begin(),
                             (*found)[0].sample_indices().end());
  std::set<int64_t> walked;
  for (const auto& [index, id] : order)
    if (id == taken) walked.insert(index);
  EXPECT_EQ(computed, walked);
  EXPECT_EQ(computed, before);

  // The next generation has no such row, and needs no substitute.
  request.mutable_data_plan(0)->set_generation(2);
  const auto next = StreamBatches(*server_, request);
  ASSERT_OK(next);
  for (const v1::BatchMessage& batch : *next) EXPECT_EQ(batch.substituted_size(), 0);
}

TEST_F(TakedownTest, TakedownsDoNotUseUpTheBoundOfBadImages) {
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(IdOf(i));
  ASSERT_OK(TakeDown(ids));
  auto request = BatchesOf("p", 10, 30);
  request.set_max_bad_ratio(0);
  const auto messages = StreamBatches(*server_, request);
  ASSERT_OK(messages);
  int substituted = 0;
  for (const auto& message : *messages) substituted += message.substituted_size();
  EXPECT_EQ(substituted, 100);  // 5 epochs of 20 of the 60 images
  for (int i = 0; i < 20; ++i) ExpectGone(i);
}

TEST_F(TakedownTest, SamplesAreFoundInEveryOrderAndRange) {
  for (const auto order :
       {v1::SAMPLE_ORDER_SHUFFLED, v1::SAMPLE_ORDER_SEQUENTIAL, v1::SAMPLE_ORDER_REPLACEMENT}) {
    std::map<std::string, std::vector<int64_t>> walked;
    for (int64_t step = 3; step < 13; ++step) {
      v1::ListSamplesRequest request;
      request.set_name("pools/p");
      request.set_seed(7);
      request.set_step(step);
      request.set_global_batch(25);
      request.set_order(order);
      grpc::ClientContext context;
      v1::ListSamplesResponse response;
      ASSERT_OK(FromGrpc(pools()->ListSamples(&context, request, &response)));
      for (const v1::Sample& sample : response.samples())
        walked[sample.image_id()].push_back(sample.sample_index());
    }
    auto question = Question({IdOf(5), IdOf(50)}, 13 * 25);
    question.set_order(order);
    question.set_first_sample(3 * 25);
    const auto found = Find(question);
    ASSERT_OK(found);
    ASSERT_EQ(found->size(), 2u);
    for (const v1::FoundSamples& row : *found) {
      EXPECT_EQ(std::vector<int64_t>(row.sample_indices().begin(), row.sample_indices().end()),
                walked[row.image_id()])
          << v1::SampleOrder_Name(order);
    }
  }
}

TEST_F(TakedownTest, ErrorsSayWhatIsWrong) {
  using testing::FailsWith;
  const std::string good = IdOf(1);
  for (const auto& ids : {std::vector<std::string>{},
                          {"12"},
                          {good, good + "0"},
                          {std::string(64, 'g')},
                          std::vector<std::string>(10'001, good)}) {
    const auto bad = TakeDown(ids);
    EXPECT_THAT(bad, FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, ""));
    EXPECT_EQ(GetErrorDetail(bad.status())->field, "image_ids");
  }
  for (const auto& why : {std::string(), std::string(1001, 'x')})
    EXPECT_EQ(GetErrorDetail(TakeDown({good}, why).status())->field, "reason");
  EXPECT_THAT(TakeDown({good}, "asked", false, "none"),
              FailsWith(absl::StatusCode::kNotFound, reason::kPoolNotFound, "none"));
  EXPECT_THAT(TakeDown({good, IdOf(999)}),
              FailsWith(absl::StatusCode::kNotFound, reason::kImageNotFound, IdOf(999)));
  const auto tried = TakeDown({good}, "asked", /*dry_run=*/true);
  ASSERT_OK(tried);
  EXPECT_EQ(tried->rows(), 1);
  EXPECT_FALSE(tried->has_takedown());

  auto question = Question({good}, 100);
  question.set_generation(9);
  EXPECT_THAT(Find(question),
              FailsWith(absl::StatusCode::kNotFound, reason::kGenerationNotFound, "generation 9"));
  question = Question({good}, 100);
  question.set_first_sample(-1);
  EXPECT_EQ(GetErrorDetail(Find(question).status())->field, "first_sample");
  question.set_first_sample(101);
  EXPECT_EQ(GetErrorDetail(Find(question).status())->field, "end_sample");
  EXPECT_EQ(GetErrorDetail(Find(Question({"x"}, 100)).status())->field, "image_ids");

  grpc::ClientContext context;
  v1::ListTakedownsRequest list;
  list.set_name("pools/p");
  v1::ListTakedownsResponse takedowns;
  ASSERT_OK(FromGrpc(pools()->ListTakedowns(&context, list, &takedowns)));
  EXPECT_EQ(takedowns.takedowns_size(), 0) << "nothing of the above left a record";
}

TEST_F(TakedownTest, TheWatchReadsOnceAnInterval) {
  ASSERT_OK(TakeDown({IdOf(1)}));
  FakeClock clock;
  const auto objects = OpenLocalStore(dir_ / "pools");
  ASSERT_OK(objects);
  TakedownWatch watch(**objects, clock);
  auto first = watch.Of("p");
  ASSERT_OK(first);
  EXPECT_EQ((*first)->ids().size(), 1u);
  ASSERT_OK(TakeDown({IdOf(2)}));
  EXPECT_EQ((*watch.Of("p"))->ids().size(), 1u);
  const std::weak_ptr<const TakedownSet> old = *first;
  first.value().reset();
  clock.Advance(TakedownWatch::kPollInterval);
  EXPECT_EQ((*watch.Of("p"))->ids().size(), 2u);
  EXPECT_TRUE(old.expired()) << "what is read every few seconds must not pile up";
}

}  // namespace
}  // namespace seer::dataservice
