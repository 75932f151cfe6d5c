#include "dataservice/ingest/read_ahead.h"

#include <utility>

#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kReadyBytes = int64_t{256} << 20;

}  // namespace

ReadAhead::ReadAhead(int threads, Generator generator)
    : max_threads_(static_cast<size_t>(threads)), generator_(std::move(generator)) {}

ReadAhead::~ReadAhead() {
  absl::MutexLock lock(&mu_);
  stop_ = true;
  waiting_.clear();
}

absl::Status ReadAhead::Fill() {
  while (!ended_) {
    {
      absl::MutexLock lock(&mu_);
      if (slots_.size() >= 2 * max_threads_ || (!slots_.empty() && ready_bytes_ > kReadyBytes))
        break;
    }
    SEER_ASSIGN_OR_RETURN(Fetch fetch, generator_());
    ended_ = !fetch;
    if (ended_) break;
    auto slot = std::make_shared<Slot>();
    slot->fetch = std::move(fetch);
    if (threads_.size() < max_threads_) threads_.emplace_back("fetch", [this] { Work(); });
    absl::MutexLock lock(&mu_);
    slots_.push_back(slot);
    waiting_.push_back(std::move(slot));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<SourceImage>> ReadAhead::Next() {
  SEER_RETURN_IF_ERROR(Fill());
  absl::MutexLock lock(&mu_);
  if (slots_.empty()) {
    ended_ = false;
    return std::optional<SourceImage>();
  }
  const std::shared_ptr<Slot> slot = slots_.front();
  mu_.Await(absl::Condition(&slot->done));
  slots_.pop_front();
  if (!slot->image.ok()) return slot->image.status();
  ready_bytes_ -= static_cast<int64_t>(slot->image->bytes.size());
  return std::optional<SourceImage>(std::move(*slot->image));
}

void ReadAhead::Work() {
  const auto ready = [this]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stop_ || !waiting_.empty(); };
  while (true) {
    std::shared_ptr<Slot> slot;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&ready));
      if (stop_) return;
      slot = std::move(waiting_.front());
      waiting_.pop_front();
    }
    auto image = slot->fetch();
    absl::MutexLock lock(&mu_);
    if (image.ok()) ready_bytes_ += static_cast<int64_t>(image->bytes.size());
    slot->image = std::move(image);
    slot->done = true;
  }
}

}  // namespace seer::dataservice
