#include "worker/trainer/batch_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

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

engine::Batch FromProto(v1::BatchMessage& message) {
  engine::Batch batch;
  batch.step = message.step();
  batch.first_sample = message.first_sample();
  for (auto& crop : *message.mutable_crops())
    batch.crops.push_back(
        {crop.views(), crop.samples(), crop.size(), std::move(*crop.mutable_pixels())});
  batch.image_ids.resize(message.image_ids().size() / 32);
  std::memcpy(batch.image_ids.data(), message.image_ids().data(), batch.image_ids.size() * 32);
  batch.labels.assign(message.labels().begin(), message.labels().end());
  return batch;
}

}  // namespace

BatchStream::BatchStream(v1::StreamBatchesRequest request, BatchStreamOptions options)
    : request_(std::move(request)),
      options_(std::move(options)),
      reader_("batches", [this] { Read(); }) {}

BatchStream::~BatchStream() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  reader_.Join();
}

absl::StatusOr<engine::Batch> BatchStream::Next() {
  absl::MutexLock lock(&mu_);
  if (!mu_.AwaitWithTimeout(absl::Condition(this, &BatchStream::HasNext), options_.stall_limit)) {
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
  if (options_.replicas.empty()) {
    absl::MutexLock lock(&mu_);
    end_ = Error(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
                 "the assignment names no replica of the data service")
               .Hint("start the coordinator with --dataservice HOST:PORT");
    return;
  }
  absl::BitGen random;
  absl::Duration backoff = kFirstBackoff;
  for (size_t turn = static_cast<size_t>(options_.first_replica);; ++turn) {
    const int64_t before = request_.first_step();
    const std::string& replica = options_.replicas[turn % options_.replicas.size()];
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
    mu_.AwaitWithTimeout(absl::Condition(this, &BatchStream::Over),
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
  const auto stub = v1::Batches::NewStub(MakeChannel({replica}));
  auto stream = stub->StreamBatches(&context, request_);
  v1::BatchMessage message;
  absl::Status wrong;
  while (wrong.ok() && stream->Read(&message)) {
    if (message.step() != request_.first_step()) {
      wrong = absl::InternalError(absl::StrCat("replica ", replica, " sent step ", message.step(),
                                               " instead of ", request_.first_step()));
      context.TryCancel();
    } else if (Push(FromProto(message))) {
      request_.set_first_step(message.step() + 1);
    } else {
      context.TryCancel();
    }
    message.Clear();
  }
  const absl::Status finished = FromGrpc(stream->Finish());
  absl::MutexLock lock(&mu_);
  context_ = nullptr;
  if (!wrong.ok()) return wrong;
  if (finished.ok() && !request_.one_epoch() && request_.first_step() < request_.end_step())
    return absl::UnavailableError("the replica ended the stream early");
  return finished;
}

bool BatchStream::Push(engine::Batch batch) {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &BatchStream::HasRoom));
  if (Over()) return false;
  ready_.push_back(std::move(batch));
  return true;
}

}  // namespace seer::worker
