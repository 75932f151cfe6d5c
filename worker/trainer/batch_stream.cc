#include "worker/trainer/batch_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/await.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/batches/message.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/trace/tracer.h"
#include "worker/trainer/received_batch.h"

namespace seer::worker {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(50);
constexpr absl::Duration kMaxBackoff = absl::Seconds(3);

// What another replica, or the same one a little later, may do better.
bool Retryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return true;
    default:
      return false;
  }
}

ReplicaChoiceOptions ChoiceOf(const v1::StreamBatchesRequest& request,
                              const BatchStreamOptions& options) {
  ReplicaChoiceOptions choice;
  choice.replicas = options.replicas;
  choice.first = options.first_replica;
  choice.job = request.job();
  choice.rank = request.rank();
  choice.period = options.look_around;
  choice.silence = options.silence;
  return choice;
}

// Beside those that wait to be trained on: one that is, and two that are made.
constexpr int kMoreSlots = 3;

}  // namespace

absl::Status NoReplica() {
  return Error(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
               "the assignment names no replica of the data service")
      .Hint("start the coordinator with --dataservice HOST:PORT");
}

BatchStream::BatchStream(v1::StreamBatchesRequest request, BatchStreamOptions options)
    : request_(std::move(request)),
      options_(std::move(options)),
      trace_(CurrentTrace()),
      choice_(ChoiceOf(request_, options_), ReplicaChoice::AskByGrpc(options_.security),
              [this] { Leave(); }),
      reader_("batches", [this] { Read(); }) {}

BatchStream::~BatchStream() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  reader_.Join();
}

void BatchStream::Leave() {
  absl::MutexLock lock(&mu_);
  if (context_ != nullptr) context_->TryCancel();
}

absl::StatusOr<engine::Batch> BatchStream::Next() {
  choice_.BeginWait();
  const auto waited = absl::MakeCleanup([this] { choice_.EndWait(); });
  absl::MutexLock lock(&mu_);
  if (!AwaitFor(mu_, absl::Condition(this, &BatchStream::HasNext), options_.stall_limit)) {
    end_ =
        Error(absl::StatusCode::kDeadlineExceeded, reason::kDataStalled,
              absl::StrCat("no batch for ", absl::FormatDuration(options_.stall_limit)))
            .Hint("look at the data service: its logs, its /metrics, whether its address is right");
    if (context_ != nullptr) context_->TryCancel();
  }
  if (ready_.empty()) return end_;
  engine::Batch batch = std::move(ready_.front());
  ready_.pop_front();
  return batch;
}

void BatchStream::Read() {
  const WithinTrace scope(trace_);
  if (options_.replicas.empty()) {
    absl::MutexLock lock(&mu_);
    end_ = NoReplica();
    return;
  }
  absl::BitGen random;
  absl::Duration backoff = kFirstBackoff;
  while (true) {
    const int64_t before = request_.first_step();
    const std::string replica = choice_.Next();
    const absl::Status status = ReadFrom(replica);
    absl::MutexLock lock(&mu_);
    if (Over()) return;
    if (status.ok()) {
      end_ = absl::OutOfRangeError("the end of the stream");
      return;
    }
    if (!Retryable(status)) {
      end_ = status;
      return;
    }
    LogWarn(
        "batch_replica_left",
        {{"replica", replica}, {"step", request_.first_step()}, {"status", StatusText(status)}});
    if (request_.first_step() > before) backoff = kFirstBackoff;
    AwaitFor(mu_, absl::Condition(this, &BatchStream::Over),
             backoff * absl::Uniform(random, 0.0, 1.0));
    backoff = std::min(backoff * 2, kMaxBackoff);
    if (Over()) return;
  }
}

absl::Status BatchStream::ReadFrom(const std::string& replica) {
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mu_);
    if (Over()) return absl::CancelledError("stopping");
    context_ = &context;
  }
  const std::shared_ptr<SlotFile> slots = OfferSlots(replica);
  const auto channel = MakeChannel({replica}, options_.security);
  const auto stream = StreamEncodedBatches(*channel, context, request_);
  grpc::ByteBuffer bytes;
  absl::Status wrong;
  while (wrong.ok() && stream->Read(&bytes)) {
    choice_.Received();
    auto batch = Receive(std::move(bytes), slots.get(), replica);
    wrong = batch.status();
    if (wrong.ok() && Push(*std::move(batch))) {
      request_.set_first_step(request_.first_step() + 1);
    } else {
      context.TryCancel();
    }
    bytes.Clear();
  }
  const absl::Status finished = FromGrpc(stream->Finish());
  absl::MutexLock lock(&mu_);
  context_ = nullptr;
  if (!wrong.ok()) return wrong;
  if (finished.ok() && !request_.one_epoch() && request_.first_step() < request_.end_step())
    return absl::UnavailableError("the replica ended the stream early");
  return finished;
}

std::shared_ptr<SlotFile> BatchStream::OfferSlots(const std::string& replica) {
  request_.clear_shared_memory();
  const int64_t batch_bytes = PixelBytesPerImage(request_.crops()) *
                              (request_.global_batch() / std::max(1, request_.world_size()));
  if (!options_.shared_memory || without_slots_.contains(replica)) return nullptr;
  auto slots =
      SlotFile::Create(options_.slot_folder, options_.prefetch_steps + kMoreSlots, batch_bytes);
  if (slots.ok()) {
    *request_.mutable_shared_memory() = (*slots)->request();
    return *std::move(slots);
  }
  if (!std::exchange(slots_refused_, true))
    LogInfo("shared_memory_not_used", {{"status", StatusText(slots.status())}});
  return nullptr;
}

absl::StatusOr<engine::Batch> BatchStream::Receive(grpc::ByteBuffer bytes, SlotFile* slots,
                                                   const std::string& replica) {
  SEER_ASSIGN_OR_RETURN(DecodedBatch received, DecodeBatch(std::move(bytes), buffers_));
  const v1::BatchMessage& message = received.message;
  if (message.step() != request_.first_step()) {
    return absl::InternalError(absl::StrCat("replica ", replica, " sent step ", message.step(),
                                            " instead of ", request_.first_step()));
  }
  std::shared_ptr<const uint8_t> pixels = std::move(received.pixels);
  if (message.slot() > 0) {
    if (slots == nullptr || PixelBytes(message) > slots->request().slot_bytes())
      return absl::InternalError("replica used shared memory that it was not given");
    SEER_ASSIGN_OR_RETURN(pixels, slots->Take(message.slot()));
  } else if (slots != nullptr && without_slots_.insert(replica).second) {
    LogInfo("shared_memory_not_used",
            {{"replica", replica}, {"status", "the replica cannot use it"}});
  }
  if (slots != nullptr) slots->Unlink();
  return ToBatch(message, pixels);
}

bool BatchStream::Push(engine::Batch batch) {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &BatchStream::HasRoom));
  if (Over()) return false;
  ready_.push_back(std::move(batch));
  return true;
}

}  // namespace seer::worker
