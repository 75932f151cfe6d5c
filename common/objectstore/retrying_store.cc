#include "common/objectstore/retrying_store.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/await.h"
#include "common/base/backoff.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

constexpr int64_t kFirstPart = int64_t{1} << 20;  // most objects that are read whole are smaller
constexpr int64_t kPart = int64_t{8} << 20;

bool WorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

absl::Status CutShort(absl::string_view key, size_t got, int64_t wanted) {
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
               absl::StrCat("cannot read ", key, ": ", got, " bytes came of ", wanted))
      .With("path", key);
}

}  // namespace

// One read with its second: whoever answers first fills it.
struct RetryingStore::Read {
  absl::Mutex mu;
  int running ABSL_GUARDED_BY(mu) = 0;
  bool hedge_won ABSL_GUARDED_BY(mu) = false;
  absl::StatusOr<std::string> answer ABSL_GUARDED_BY(mu) = absl::UnknownError("no answer");

  // An error counts only if no other answer can come.
  bool Done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return answer.ok() || running == 0; }
};

RetryingStore::RetryingStore(std::unique_ptr<ObjectStore> inner, Clock& clock,
                             RetryingStoreOptions options)
    : inner_(std::move(inner)),
      clock_(clock),
      options_(std::move(options)),
      breaker_(options_.breaker),
      hedge_(options_.hedge),
      threads_(options_.read_threads) {}

RetryingStore::~RetryingStore() = default;

void RetryingStore::Record(absl::string_view operation, const absl::Status& status) {
  const auto state = breaker_.Record(!WorthRetrying(status), clock_.Steady());
  const auto before = breaker_state_.exchange(state);
  if (before != state) {
    if (state == CircuitBreaker::State::kOpen)
      LogWarn("storage_circuit_open", {{"cause", StatusText(status)}});
    if (state == CircuitBreaker::State::kClosed) LogInfo("storage_circuit_closed");
  }
  if (options_.observer == nullptr) return;
  options_.observer->OnAnswer(operation, status.code());
  if (before != state) options_.observer->OnBreaker(state);
}

absl::Status RetryingStore::Try(absl::string_view operation,
                                const std::function<absl::Status()>& call) {
  const absl::Duration deadline = clock_.Steady() + options_.deadline;
  Backoff backoff(options_.first_backoff, options_.max_backoff);
  absl::Status status;  // of the last attempt
  int attempts = 0;
  while (true) {
    const CircuitBreaker::Answer answer = breaker_.Admit(clock_.Steady());
    absl::Duration wait;
    if (answer.admitted) {
      status = call();
      ++attempts;
      Record(operation, status);
      if (!WorthRetrying(status)) return status;
      if (attempts >= options_.max_attempts) break;
      wait = backoff.Next();
    } else {
      wait = answer.wait + Jitter(options_.first_backoff);  // not all at the same moment
    }
    if (clock_.Steady() + wait >= deadline) {
      if (answer.admitted) break;
      return Error(absl::StatusCode::kUnavailable, reason::kStorageCircuitOpen,
                   absl::StrCat("storage has failed all the time and is asked no more for now",
                                status.ok() ? "" : "; the last error: ", status.message()))
          .Hint("look at the storage's own state; calls go on by themselves once it answers");
    }
    if (options_.observer != nullptr) options_.observer->OnRetry(operation, wait);
    if (options_.sleep) {
      options_.sleep(wait);
    } else {
      std::this_thread::sleep_for(absl::ToChronoNanoseconds(wait));
    }
  }
  return WithContext(status, absl::StrCat("after ", attempts, " attempts"));
}

absl::StatusOr<std::string> RetryingStore::ReadOnce(absl::string_view key, int64_t offset,
                                                    int64_t length) {
  const absl::Duration delay = hedge_.BeginRead();
  const absl::Duration start = clock_.Steady();
  const auto read = std::make_shared<Read>();
  const auto ask = [this, read, key = std::string(key), offset, length](bool second) {
    auto answer = inner_->GetRange(key, offset, length);
    absl::MutexLock lock(&read->mu);
    --read->running;
    if (read->answer.ok()) return;
    read->hedge_won = second && answer.ok();
    read->answer = std::move(answer);
  };
  const auto run = [&](bool second) {
    {
      absl::MutexLock lock(&read->mu);
      ++read->running;
    }
    if (threads_.TryRun([ask, second] { ask(second); })) return true;
    absl::MutexLock lock(&read->mu);
    --read->running;
    return false;
  };
  absl::StatusOr<std::string> answer;
  if (delay == absl::InfiniteDuration() || !run(false)) {
    answer = inner_->GetRange(key, offset, length);
  } else {
    absl::MutexLock lock(&read->mu);
    const absl::Condition done(read.get(), &Read::Done);
    bool hedged = false;
    if (!AwaitFor(read->mu, done, delay) && hedge_.TakeHedge()) {
      read->mu.Unlock();
      hedged = run(true);
      read->mu.Lock();
    }
    read->mu.Await(done);
    if (hedged && options_.observer != nullptr) options_.observer->OnHedge(read->hedge_won);
    answer = std::move(read->answer);
    // What the slower one brings is thrown away.
    read->answer = std::string();
  }
  if (answer.ok()) hedge_.RecordLatency(clock_.Steady() - start);
  return answer;
}

absl::StatusOr<std::string> RetryingStore::ReadWhole(absl::string_view key, int64_t offset,
                                                     int64_t length) {
  SEER_ASSIGN_OR_RETURN(std::string bytes, ReadOnce(key, offset, length));
  if (static_cast<int64_t>(bytes.size()) == length) return bytes;
  // Fewer bytes are right at the object's end alone.
  SEER_ASSIGN_OR_RETURN(const ObjectInfo info, inner_->Stat(key));
  const int64_t wanted = std::clamp<int64_t>(info.size_bytes - offset, 0, length);
  if (static_cast<int64_t>(bytes.size()) != wanted) return CutShort(key, bytes.size(), wanted);
  return bytes;
}

absl::StatusOr<std::string> RetryingStore::GetRange(absl::string_view key, int64_t offset,
                                                    int64_t length) {
  std::string bytes;
  SEER_RETURN_IF_ERROR(Try("get", [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(bytes, ReadWhole(key, offset, length));
    return absl::OkStatus();
  }));
  return bytes;
}

absl::StatusOr<std::string> RetryingStore::Get(absl::string_view key) {
  SEER_ASSIGN_OR_RETURN(std::string bytes, GetRange(key, 0, kFirstPart));
  if (static_cast<int64_t>(bytes.size()) < kFirstPart) return bytes;
  SEER_ASSIGN_OR_RETURN(const ObjectInfo info, Stat(key));
  bytes.reserve(static_cast<size_t>(info.size_bytes));
  while (static_cast<int64_t>(bytes.size()) < info.size_bytes) {
    const auto done = static_cast<int64_t>(bytes.size());
    SEER_ASSIGN_OR_RETURN(const std::string part,
                          GetRange(key, done, std::min(kPart, info.size_bytes - done)));
    if (part.empty()) return CutShort(key, bytes.size(), info.size_bytes);  // replaced meanwhile
    bytes += part;
  }
  SEER_ASSIGN_OR_RETURN(const ObjectInfo after, Stat(key));
  if (after.size_bytes != info.size_bytes) return CutShort(key, bytes.size(), after.size_bytes);
  return bytes;
}

absl::StatusOr<ObjectInfo> RetryingStore::Stat(absl::string_view key) {
  ObjectInfo info;
  SEER_RETURN_IF_ERROR(Try("stat", [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(info, inner_->Stat(key));
    return absl::OkStatus();
  }));
  return info;
}

absl::Status RetryingStore::Put(absl::string_view key, absl::string_view bytes) {
  return Try("put", [&] { return inner_->Put(key, bytes); });
}

absl::Status RetryingStore::PutIfAbsent(absl::string_view key, absl::string_view bytes) {
  bool failed_before = false;
  const absl::Status status = Try("put", [&] {
    const absl::Status one = inner_->PutIfAbsent(key, bytes);
    failed_before = failed_before || WorthRetrying(one);
    return one;
  });
  if (!failed_before || !absl::IsAlreadyExists(status)) return status;
  SEER_ASSIGN_OR_RETURN(const std::string there, Get(key));
  return there == bytes ? absl::OkStatus() : status;
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> RetryingStore::OpenWriter(absl::string_view key) {
  std::unique_ptr<ObjectWriter> writer;
  SEER_RETURN_IF_ERROR(Try("put", [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(writer, inner_->OpenWriter(key));
    return absl::OkStatus();
  }));
  return writer;
}

absl::StatusOr<std::vector<ObjectInfo>> RetryingStore::List(absl::string_view prefix) {
  std::vector<ObjectInfo> objects;
  SEER_RETURN_IF_ERROR(Try("list", [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(objects, inner_->List(prefix));
    return absl::OkStatus();
  }));
  return objects;
}

absl::StatusOr<std::vector<std::string>> RetryingStore::TopFolders() {
  std::vector<std::string> folders;
  SEER_RETURN_IF_ERROR(Try("list", [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(folders, inner_->TopFolders());
    return absl::OkStatus();
  }));
  return folders;
}

absl::Status RetryingStore::Delete(absl::string_view key) {
  return Try("delete", [&] { return inner_->Delete(key); });
}

}  // namespace seer
