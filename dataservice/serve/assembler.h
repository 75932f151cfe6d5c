// Makes the batch of one step: a pure function of (plan, step) that reads and decodes its images on
// the work pool. Thread-safe: one for all streams.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "dataservice/metrics.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/stream_request.h"
#include "dataservice/serve/work_pool.h"
#include "seer/v1/batches.pb.h"

namespace seer::dataservice {

// A batch being made. `done` falls to zero when every sample is in its place;
// read the rest only after it.
struct PendingBatch {
  PendingBatch(int samples) : done(samples) {}  // NOLINT
  v1::BatchMessage message;
  absl::BlockingCounter done;
  std::atomic<int> left{0};
  std::atomic<bool> cancelled{false};  // set by the reader: what has not begun is not done
  absl::Mutex mu;
  absl::Status status ABSL_GUARDED_BY(mu);  // the first failure
  int bad ABSL_GUARDED_BY(mu) = 0;
};

class Assembler {
 public:
  // All must outlive this.
  Assembler(ObjectStore& objects, WorkPool& work, DataMetrics& metrics)
      : objects_(objects), work_(work), metrics_(metrics) {}

  // Samples [first, first + count) of the order, global indices; `generation` is the plan's there.
  // A sample whose image cannot be decoded is replaced by that of SubstituteSample, and noted;
  // an error of the storage becomes the batch's status.
  std::shared_ptr<PendingBatch> Begin(std::shared_ptr<const StreamPlan> plan,
                                      std::shared_ptr<const Generation> generation, int64_t step,
                                      int64_t first, int count);

 private:
  struct Layout;
  void Sample(const StreamPlan& plan, const Generation& generation, const Layout& layout,
              PendingBatch& batch, int sample);
  absl::Status Fill(const StreamPlan& plan, const ImageLocation& image,
                    const Generation& generation, int64_t sample_index, const Layout& layout,
                    PendingBatch& batch, int sample);

  ObjectStore& objects_;
  WorkPool& work_;
  DataMetrics& metrics_;
};

}  // namespace seer::dataservice
