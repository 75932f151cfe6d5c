#include "worker/trainer/local_batches.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/batches/pixel_buffers.h"
#include "common/objectstore/open_store.h"
#include "worker/trainer/received_batch.h"

namespace seer::worker {
namespace {

using dataservice::BatchSequence;

// Not thread-safe: of the thread that trains.
class LocalBatches final : public engine::BatchSource {
 public:
  LocalBatches(v1::StreamBatchesRequest request, BatchSequence::Parts parts,
               dataservice::DataMetrics& metrics, absl::Duration stall_limit)
      : request_(std::move(request)), parts_(parts), metrics_(metrics), stall_limit_(stall_limit) {}

  absl::StatusOr<engine::Batch> Next() override {
    SEER_RETURN_IF_ERROR(end_);
    Clock& clock = Clock::Real();
    const absl::Duration start = clock.Steady();
    Backoff backoff(absl::Milliseconds(50), absl::Seconds(3));
    while (true) {
      absl::StatusOr<engine::Batch> batch = TryNext();
      if (batch.ok()) return batch;
      sequence_ = nullptr;  // begins again with the step that is due
      const absl::Duration wait = backoff.Next();
      if (batch.status().code() != absl::StatusCode::kUnavailable ||
          clock.Steady() - start + wait > stall_limit_) {
        end_ = batch.status();
        return end_;
      }
      LogWarn("batch_failed",
              {{"step", request_.first_step()}, {"status", StatusText(batch.status())}});
      std::this_thread::sleep_for(absl::ToChronoMilliseconds(wait));
    }
  }

 private:
  absl::StatusOr<engine::Batch> TryNext() {
    if (sequence_ == nullptr) {
      SEER_ASSIGN_OR_RETURN(dataservice::StreamPlan plan,
                            dataservice::CheckStreamRequest(request_));
      SEER_ASSIGN_OR_RETURN(sequence_, BatchSequence::Open(std::move(plan), parts_));
    }
    const auto memory = [this]() -> BatchMemory {
      return {buffers_.Take(static_cast<size_t>(sequence_->batch_bytes()))};
    };
    SEER_RETURN_IF_ERROR(sequence_->Begin(memory));
    if (sequence_->empty()) return absl::OutOfRangeError("the end of the stream");
    SEER_ASSIGN_OR_RETURN(const auto batch, sequence_->Pop());
    request_.set_first_step(batch->message.step() + 1);
    metrics_.batches.Add();
    metrics_.images.Add(static_cast<double>(batch->message.labels_size()));
    // The next one, while this is trained on. What is wrong with it shows when it is due.
    sequence_->Begin(memory).IgnoreError();
    return ToBatch(batch->message, batch->pixels);
  }

  v1::StreamBatchesRequest request_;  // its first_step is the one that is due
  const BatchSequence::Parts parts_;
  dataservice::DataMetrics& metrics_;
  const absl::Duration stall_limit_;
  PixelBuffers buffers_;
  std::unique_ptr<BatchSequence> sequence_;
  absl::Status end_;
};

absl::Status CannotRead(const std::string& pool, const std::string& uri, const absl::Status& why) {
  absl::Status status = WithContext(
      why, absl::StrCat("this rank cannot read pool ", pool, " in ", uri.substr(0, uri.find('?'))));
  ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail());
  detail.field = "data.transport";
  detail.hint =
      "let the trainers' machines see the pools as the data service does, with credentials if they "
      "need any, or set data.transport to auto";
  SetErrorDetail(status, detail);
  return status;
}

}  // namespace

LocalPools::LocalPools(std::unique_ptr<ObjectStore> objects, int threads, MetricsRegistry& metrics)
    : objects_(std::move(objects)),
      metrics_(metrics),
      pools_(*objects_, Clock::Real()),
      generations_(pools_),
      takedowns_(*objects_, Clock::Real()),
      work_(threads),
      assembler_(*objects_, takedowns_, work_, metrics_),
      buffered_(metrics_) {}

absl::StatusOr<std::unique_ptr<LocalPools>> LocalPools::Open(const std::string& uri,
                                                             const std::string& pool, int threads,
                                                             MetricsRegistry& metrics) {
  auto objects = OpenStore(uri, StoreUse::kRead);
  if (!objects.ok()) return CannotRead(pool, uri, objects.status());
  std::unique_ptr<LocalPools> pools(new LocalPools(*std::move(objects), threads, metrics));
  const absl::Status there = pools->pools_.Info(pool).status();
  if (!there.ok()) return CannotRead(pool, uri, there);
  return pools;
}

std::unique_ptr<engine::BatchSource> LocalPools::Batches(const v1::StreamBatchesRequest& request,
                                                         absl::Duration stall_limit) {
  return std::make_unique<LocalBatches>(
      request, BatchSequence::Parts{generations_, assembler_, buffered_}, metrics_, stall_limit);
}

}  // namespace seer::worker
