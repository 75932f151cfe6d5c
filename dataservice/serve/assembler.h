// Makes the batch of one step: a pure function of (plan, step) that looks its rows up, reads and
// decodes its images on the work pool. Thread-safe: one for all streams.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "common/batches/slots.h"
#include "dataservice/metrics.h"
#include "dataservice/pool/location_index.h"
#include "dataservice/serve/stream_request.h"
#include "dataservice/serve/takedown_watch.h"
#include "dataservice/serve/work_pool.h"
#include "seer/v1/batches.pb.h"

namespace seer::dataservice {

// A batch being made. `done` falls to zero when every sample is in its place;
// read the rest only after it.
struct PendingBatch {
  PendingBatch(int samples) : done(samples) {}  // NOLINT
  v1::BatchMessage message;                     // without pixels
  std::shared_ptr<uint8_t> pixels;              // of its crops, one after the other
  absl::BlockingCounter done;
  // Of all threads together, what they waited for storage included.
  std::atomic<int64_t> busy_nanoseconds{0};
  std::atomic<bool> cancelled{false};  // set by the reader: what has not begun is not done
  absl::Mutex mu;
  absl::Status status ABSL_GUARDED_BY(mu);  // the first failure
  int bad ABSL_GUARDED_BY(mu) = 0;          // undecodable: what was taken down does not count
};

// Images of a batch that lie close together in a shard are read by one request, of at most
// `read_bytes` (one image may have more) and `read_images`. A thread holds one such read, so their
// memory is at most threads x read_bytes, or that of one image each.
struct ReadOptions {
  int64_t gap_bytes = int64_t{64} << 10;  // between two images that are read together
  int64_t read_bytes = int64_t{8} << 20;
  int read_images = 16;
};

class Assembler {
 public:
  // All must outlive this.
  Assembler(ObjectStore& objects, TakedownWatch& takedowns, WorkPool& work, DataMetrics& metrics,
            ReadOptions options = {})
      : objects_(objects),
        takedowns_(takedowns),
        work_(work),
        metrics_(metrics),
        options_(options) {}

  // Samples [first, first + count) of the order, global indices; `generation` is the plan's there,
  // `memory` has room for their pixels.
  // A block of the index that several samples lie in is looked up once. A sample whose image cannot
  // be decoded, or was taken down, is replaced by that of SubstituteSample, and noted; an error of
  // the storage or of the index becomes the batch's status. May read the pool's takedowns.
  std::shared_ptr<PendingBatch> Begin(std::shared_ptr<const StreamPlan> plan,
                                      std::shared_ptr<const Generation> generation, int64_t step,
                                      int64_t first, int count, BatchMemory memory);

 private:
  struct Pick;
  struct Assembly;
  void LookUp(const std::shared_ptr<Assembly>& assembly, size_t begin, size_t end);
  void Read(Assembly& assembly, size_t begin, size_t end);
  void Sample(Assembly& assembly, const Pick& pick, const absl::StatusOr<absl::string_view>& bytes);
  absl::Status Fill(Assembly& assembly, const ImageLocation& image, absl::string_view bytes,
                    int sample);
  absl::StatusOr<std::string> ReadBytes(const Assembly& assembly, int32_t shard, int64_t offset,
                                        int64_t size);

  ObjectStore& objects_;
  TakedownWatch& takedowns_;
  WorkPool& work_;
  DataMetrics& metrics_;
  const ReadOptions options_;
};

}  // namespace seer::dataservice
