// The batches of a checked request, in order, assembled ahead. Not thread-safe: of one stream.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/batches/slots.h"
#include "dataservice/metrics.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/stream_request.h"

namespace seer::dataservice {

// The gauge of batches that are being made or wait, over all sequences of a process. Thread-safe.
class BufferedBatches {
 public:
  explicit BufferedBatches(DataMetrics& metrics) : gauge_(metrics.buffer_batches) {}
  void Add(int batches) { gauge_.Set(count_ += batches); }

 private:
  Gauge& gauge_;
  std::atomic<int> count_{0};
};

class BatchSequence {
 public:
  // What sequences share; all of it must outlive them.
  struct Parts {
    GenerationCache& generations;
    Assembler& assembler;
    BufferedBatches& buffered;
  };

  // Batches of a sequence that have begun and were not popped; this bounds its memory. At most 4,
  // fewer where they are large, but 2: one is made while another is sent.
  static size_t WindowOf(int64_t batch_bytes);

  // NOT_FOUND with GENERATION_NOT_FOUND, and other errors of GenerationCache. INVALID_ARGUMENT as
  // CheckCropsFit.
  static absl::StatusOr<std::unique_ptr<BatchSequence>> Open(StreamPlan plan, Parts parts);
  ~BatchSequence();  // waits for what has begun

  int64_t batch_bytes() const;  // of a whole batch's pixels
  bool done() const { return next_ >= end_step_ && batches_.empty(); }
  bool empty() const { return batches_.empty(); }  // nothing has begun

  // Begins batches until the window is full, the sequence ends, or `memory`, asked for each one's,
  // has none now. Errors of GenerationCache.
  absl::Status Begin(absl::FunctionRef<BatchMemory()> memory);
  // The oldest that has begun, whole; waits for it. DATA_LOSS with TOO_MANY_BAD_IMAGES, and errors
  // of Assembler.
  absl::StatusOr<std::shared_ptr<PendingBatch>> Pop();

 private:
  BatchSequence(StreamPlan plan, Parts parts, std::shared_ptr<const Generation> generation);
  absl::Status Judge(PendingBatch& batch);

  const std::shared_ptr<const StreamPlan> plan_;
  const Parts parts_;
  std::shared_ptr<const Generation> generation_;  // of the step that begins next
  int64_t end_step_;
  int64_t next_;  // the step that begins next
  int64_t popped_samples_ = 0, bad_ = 0;
  std::deque<std::shared_ptr<PendingBatch>> batches_;  // that have begun, by step
};

}  // namespace seer::dataservice
