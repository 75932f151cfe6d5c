// Sends spans and log lines to a receiver of OTLP over gRPC, in batches, from one thread of its
// own. Nothing that it is given ever waits: what finds no room in a queue, or that the receiver
// refuses, is dropped and counted. A receiver that is away is tried again, at growing intervals,
// with the same batch. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/log_sink.h"
#include "common/base/thread.h"
#include "common/otlp/convert.h"
#include "common/otlp/queue.h"
#include "common/otlp/settings.h"

namespace grpc {
class ClientContext;
}

namespace seer {

// Of one kind of telemetry.
struct ExportCounts {
  int64_t exported = 0;  // that the receiver took
  int64_t dropped = 0;
};

class OtlpExporter final : public SpanRecorder, public LogSink {
 public:
  static constexpr size_t kQueue = 4096;  // of spans, and of lines
  static constexpr size_t kBatch = 512;
  static constexpr absl::Duration kPeriod = absl::Seconds(1);  // between two rounds
  static constexpr absl::Duration kLongestBackoff = absl::Seconds(30);

  // `settings.address` is not empty. INVALID_ARGUMENT: the certificate cannot be read.
  // `say_failures`: the first failure of a row is a line of the log, as is the end of the row.
  static absl::StatusOr<std::unique_ptr<OtlpExporter>> Start(const OtlpSettings& settings,
                                                             ResourceAttributes resource,
                                                             bool say_failures);
  ~OtlpExporter() override;  // as Stop, with no time at all

  void Take(SpanRecord span) override;
  // Not of lines that the exporter's own thread writes.
  void Take(absl::Time time, LogLevel level, absl::string_view event, const LogFields& common,
            std::initializer_list<LogField> fields) override;

  // Sends what waits, for `limit` at most; what is left is dropped. Of the owner's thread, once
  // nothing is given any more.
  void Stop(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mu_);

  ExportCounts spans() const { return {sent_spans_, spans_.dropped()}; }
  ExportCounts lines() const { return {sent_lines_, lines_.dropped()}; }
  // Why the newest call failed; OK if it did not.
  absl::Status failure() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Stubs;  // gRPC's
  OtlpExporter(std::unique_ptr<Stubs> stubs, const OtlpSettings& settings,
               ResourceAttributes resource, bool say_failures);
  void Wake(size_t waiting) ABSL_LOCKS_EXCLUDED(mu_);
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // All that waits. False: the receiver is away.
  bool Round() ABSL_LOCKS_EXCLUDED(mu_);
  template <typename Item, typename Send>
  bool RoundOf(ExportQueue<Item>& queue, std::vector<Item>& pending, std::atomic<int64_t>& sent,
               Send send);
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub, const Request& request, Response& response)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Note(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const OtlpSettings settings_;
  const ResourceAttributes resource_;
  const bool say_failures_;
  const std::unique_ptr<Stubs> stubs_;
  ExportQueue<SpanRecord> spans_{kQueue};
  ExportQueue<LogLine> lines_{kQueue};
  std::atomic<int64_t> sent_spans_{0}, sent_lines_{0};
  std::vector<SpanRecord> pending_spans_;  // the thread's own: a batch that was not delivered yet
  std::vector<LogLine> pending_lines_;
  mutable absl::Mutex mu_;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool cut_off_ ABSL_GUARDED_BY(mu_) = false;  // no more calls
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;  // of the call that runs
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  Thread thread_;
};

}  // namespace seer
