#include "dataservice/serve/batches.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/batches/message.h"
#include "common/batches/pixel_buffers.h"
#include "common/rpc/status_grpc.h"

namespace seer::dataservice {
namespace {

// How often a stream that waits for the reader's slots looks whether the reader is still there.
constexpr absl::Duration kLook = absl::Milliseconds(100);

}  // namespace

BatchesService::BatchesService(GenerationCache& generations, Assembler& assembler,
                               DataMetrics& metrics, std::string slot_folder, int threads,
                               CallGuard* guard)
    : metrics_(metrics),
      buffered_(metrics),
      load_(threads, Clock::Real(), metrics.replicas_wanted),
      parts_{generations, assembler, buffered_},
      slot_folder_(std::move(slot_folder)),
      guard_(guard) {
  // As the generated WithSplitStreamingMethod_StreamBatches, but for the type of the messages.
  constexpr int kStreamBatches = 0;  // the method's place in the service
  MarkMethodStreamed(
      kStreamBatches,
      new grpc::internal::SplitServerStreamingHandler<v1::StreamBatchesRequest, grpc::ByteBuffer>(
          [this](grpc::ServerContext* context, Writer* writer) {
            return Answer(*context, *writer);
          }));
}

grpc::Status BatchesService::Answer(grpc::ServerContext& context, Writer& writer) {
  v1::StreamBatchesRequest request;
  if (!writer.Read(&request)) return {grpc::StatusCode::INTERNAL, "the request cannot be read"};
  absl::Status status;
  if (guard_ != nullptr)
    status = guard_->CheckRead({"seer.v1.Batches/StreamBatches", context, &request});
  if (status.ok()) status = Stream(context, request, writer);
  if (!status.ok() && status.code() != absl::StatusCode::kCancelled) {
    LogWarn("batch_stream_failed",
            {{"job", request.job()}, {"rank", request.rank()}, {"status", StatusText(status)}});
  }
  return ToGrpc(status);
}

grpc::Status BatchesService::GetReplicaLoad(grpc::ServerContext*,
                                            const v1::GetReplicaLoadRequest* request,
                                            v1::ReplicaLoad* load) {
  if (request->has_stall_ratio() && !(request->stall_ratio() >= 0 && request->stall_ratio() <= 1)) {
    return ToGrpc(Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                        absl::StrCat("a stall ratio of ", request->stall_ratio()))
                      .Field("stall_ratio")
                      .Hint("from 0 to 1"));
  }
  *load = load_.Get(*request);
  load->set_draining(draining_);
  return grpc::Status::OK;
}

absl::StatusOr<std::shared_ptr<SlotWriter>> BatchesService::OpenSlots(
    const v1::StreamBatchesRequest& request, int64_t batch_bytes) const {
  if (!request.has_shared_memory()) return nullptr;
  SEER_RETURN_IF_ERROR(CheckSharedMemory(request.shared_memory(), batch_bytes));
  auto slots = SlotWriter::Open(slot_folder_, request.shared_memory());
  if (slots.ok()) return slots;
  LogInfo(
      "shared_memory_not_used",
      {{"job", request.job()}, {"rank", request.rank()}, {"status", StatusText(slots.status())}});
  return nullptr;
}

absl::Status BatchesService::Stream(grpc::ServerContext& context,
                                    const v1::StreamBatchesRequest& request, Writer& writer) {
  SEER_ASSIGN_OR_RETURN(StreamPlan plan, CheckStreamRequest(request));
  SEER_ASSIGN_OR_RETURN(const auto sequence, BatchSequence::Open(std::move(plan), parts_));
  const int64_t batch_bytes = sequence->batch_bytes();
  SEER_ASSIGN_OR_RETURN(const auto slots, OpenSlots(request, batch_bytes));
  const std::string transport = slots != nullptr ? "shared_memory" : "grpc";
  LogInfo("batch_stream_started", {{"job", request.job()},
                                   {"rank", request.rank()},
                                   {"step", request.first_step()},
                                   {"pool", request.pool()},
                                   {"transport", transport}});
  const auto use = load_.Open(request.job(), request.rank());
  PixelBuffers buffers;
  const auto memory = [&]() -> BatchMemory {
    if (slots != nullptr) return slots->TryTake();
    return {buffers.Take(static_cast<size_t>(batch_bytes))};
  };
  while (!sequence->done()) {
    SEER_RETURN_IF_ERROR(sequence->Begin(memory));
    std::shared_ptr<PendingBatch> batch;
    if (sequence->empty()) {
      slots->WaitForFree(kLook);  // the reader has all of them
    } else {
      SEER_ASSIGN_OR_RETURN(batch, sequence->Pop());
      use->Worked(absl::Nanoseconds(batch->busy_nanoseconds.load()));
    }
    if (context.IsCancelled()) return absl::CancelledError("the reader went away");
    if (draining_)
      return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
                   "this replica is shutting down")
          .Hint("go on at another replica");
    if (slots != nullptr && slots->cut_short()) {
      return absl::UnavailableError("the shared memory was cut short while it was written");
    }
    if (batch == nullptr) continue;
    if (!writer.Write(EncodeBatch(batch->message, batch->pixels)))
      return absl::CancelledError("the reader went away");
    metrics_.batches.Add();
    metrics_.images.Add(static_cast<double>(batch->message.labels_size()));
    metrics_.crop_bytes.Add(static_cast<double>(PixelBytes(batch->message)),
                            {{"transport", transport}});
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
