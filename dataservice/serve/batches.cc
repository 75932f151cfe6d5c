#include "dataservice/serve/batches.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/order/sample_order.h"

namespace seer::dataservice {
namespace {

// The share of bad images is judged over at least so many samples, so that one bad image early on
// does not end a stream that allows one in a hundred.
constexpr int64_t kJudgedSamples = 1000;
constexpr int64_t kWindowBytes = int64_t{640} << 20;  // of a stream's messages

// The batches of one stream that have begun. Its destructor waits for them: their tasks point into
// them.
class Window {
 public:
  Window(std::atomic<int>& buffered, Gauge& gauge) : buffered_(buffered), gauge_(gauge) {}
  ~Window() {
    for (auto& batch : batches_) batch->cancelled = true;
    for (auto& batch : batches_) batch->done.Wait();
    Count(-static_cast<int>(batches_.size()));
  }
  size_t size() const { return batches_.size(); }
  void Push(std::shared_ptr<PendingBatch> batch) {
    batches_.push_back(std::move(batch));
    Count(1);
  }
  std::shared_ptr<PendingBatch> Pop() {
    batches_.front()->done.Wait();
    auto batch = std::move(batches_.front());
    batches_.pop_front();
    Count(-1);
    return batch;
  }

 private:
  void Count(int by) { gauge_.Set(buffered_ += by); }
  std::atomic<int>& buffered_;
  Gauge& gauge_;
  std::deque<std::shared_ptr<PendingBatch>> batches_;
};

}  // namespace

size_t BatchesService::WindowOf(int64_t message_bytes) {
  return static_cast<size_t>(std::clamp<int64_t>(kWindowBytes / message_bytes, 2, 4));
}

grpc::Status BatchesService::StreamBatches(grpc::ServerContext* context,
                                           const v1::StreamBatchesRequest* request,
                                           grpc::ServerWriter<v1::BatchMessage>* writer) {
  const absl::Status status = Stream(*context, *request, *writer);
  if (!status.ok() && status.code() != absl::StatusCode::kCancelled) {
    LogWarn("batch_stream_failed",
            {{"job", request->job()}, {"rank", request->rank()}, {"status", StatusText(status)}});
  }
  return ToGrpc(status);
}

absl::Status BatchesService::Stream(grpc::ServerContext& context,
                                    const v1::StreamBatchesRequest& request,
                                    grpc::ServerWriter<v1::BatchMessage>& writer) {
  SEER_ASSIGN_OR_RETURN(StreamPlan checked, CheckStreamRequest(request));
  const auto plan = std::make_shared<const StreamPlan>(std::move(checked));
  SEER_ASSIGN_OR_RETURN(auto generation,
                        generations_.Get(plan->pool, plan->GenerationAt(plan->first_step)));
  SEER_RETURN_IF_ERROR(
      CheckCropsFit(plan->crops, plan->pool, generation->manifest().longest_side));
  int64_t end_step = plan->end_step;
  if (plan->one_epoch) {
    end_step =
        std::min(end_step, (generation->images() + plan->global_batch - 1) / plan->global_batch);
  }
  LogInfo(
      "batch_stream_started",
      {{"job", plan->job}, {"rank", plan->rank}, {"step", plan->first_step}, {"pool", plan->pool}});

  const size_t most = WindowOf(plan->global_batch / plan->world_size * plan->bytes_per_image());
  Window window(buffered_, metrics_.buffer_batches);
  int64_t next = plan->first_step;
  int64_t sent_samples = 0, bad = 0;
  while (next < end_step || window.size() > 0) {
    while (next < end_step && window.size() < most) {
      if (generation->number() != plan->GenerationAt(next)) {
        SEER_ASSIGN_OR_RETURN(generation, generations_.Get(plan->pool, plan->GenerationAt(next)));
      }
      SEER_ASSIGN_OR_RETURN(SampleSlice slice,
                            SliceOfRank(next, plan->global_batch, plan->rank, plan->world_size));
      if (plan->one_epoch) slice.count = std::min(slice.count, generation->images() - slice.first);
      window.Push(
          assembler_.Begin(plan, generation, next, slice.first, static_cast<int>(slice.count)));
      ++next;
    }
    const auto batch = window.Pop();
    if (context.IsCancelled()) return absl::CancelledError("the reader went away");
    if (draining_)
      return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
                   "this replica is shutting down")
          .Hint("go on at another replica");
    const int64_t samples = batch->message.labels_size();
    {
      absl::MutexLock lock(&batch->mu);
      if (!batch->status.ok())
        return WithContext(batch->status, absl::StrCat("step ", batch->message.step()));
      bad += batch->bad;
      std::sort(batch->message.mutable_substituted()->begin(),
                batch->message.mutable_substituted()->end());
    }
    sent_samples += samples;
    if (static_cast<double>(bad) >
        plan->max_bad_ratio * static_cast<double>(std::max(sent_samples, kJudgedSamples))) {
      return Error(absl::StatusCode::kDataLoss, reason::kTooManyBadImages,
                   absl::StrCat(bad, " of ", sent_samples, " images of pool ", plan->pool,
                                " could not be decoded, above the job's bound of ",
                                plan->max_bad_ratio))
          .Field("data.maxBadRatio")
          .Hint("look at the pool's shards (a damaged disk or copy), or raise data.maxBadRatio")
          .With("pool", plan->pool);
    }
    if (!writer.Write(batch->message)) return absl::CancelledError("the reader went away");
    metrics_.batches.Add();
    metrics_.images.Add(static_cast<double>(samples));
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
