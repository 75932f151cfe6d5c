#include "common/otlp/exporter.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/await.h"
#include "common/base/error.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace seer {
namespace {

namespace collector = opentelemetry::proto::collector;

thread_local bool own_thread = false;  // an exporter's: its lines are not exported

// As OTLP's specification has it; with RESOURCE_EXHAUSTED only a receiver that says when.
bool MayWorkAgain(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(
    const OtlpSettings& settings) {
  if (!settings.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  if (!settings.certificate.empty()) {
    std::stringstream text;
    const std::ifstream file(settings.certificate, std::ios::binary);
    text << file.rdbuf();
    options.pem_root_certs = text.str();
    if (!file || options.pem_root_certs.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("OTEL_EXPORTER_OTLP_CERTIFICATE: the certificates in ",
                                settings.certificate, " cannot be read"))
          .Field("OTEL_EXPORTER_OTLP_CERTIFICATE")
          .Hint("a PEM file of the authorities whose certificate the receiver has");
    }
  }
  return grpc::SslCredentials(options);
}

int64_t Rejected(const collector::trace::v1::ExportTraceServiceResponse& response) {
  return response.partial_success().rejected_spans();
}
int64_t Rejected(const collector::logs::v1::ExportLogsServiceResponse& response) {
  return response.partial_success().rejected_log_records();
}

}  // namespace

struct OtlpExporter::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel) : traces(channel), logs(channel) {}
  collector::trace::v1::TraceService::Stub traces;
  collector::logs::v1::LogsService::Stub logs;
};

absl::StatusOr<std::unique_ptr<OtlpExporter>> OtlpExporter::Start(const OtlpSettings& settings,
                                                                  ResourceAttributes resource,
                                                                  bool say_failures) {
  auto credentials = CredentialsOf(settings);
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stubs =
      std::make_unique<Stubs>(grpc::CreateCustomChannel(settings.address, *credentials, arguments));
  return std::unique_ptr<OtlpExporter>(
      new OtlpExporter(std::move(stubs), settings, std::move(resource), say_failures));
}

OtlpExporter::OtlpExporter(std::unique_ptr<Stubs> stubs, const OtlpSettings& settings,
                           ResourceAttributes resource, bool say_failures)
    : settings_(settings),
      resource_(std::move(resource)),
      say_failures_(say_failures),
      stubs_(std::move(stubs)),
      thread_("otlp", [this] { Run(); }) {}

OtlpExporter::~OtlpExporter() { Stop(absl::ZeroDuration()); }

void OtlpExporter::Take(SpanRecord span) {
  if (spans_.Push(std::move(span))) Wake(spans_.size());
}

void OtlpExporter::Take(absl::Time time, LogLevel level, absl::string_view event,
                        const LogFields& common, std::initializer_list<LogField> fields) {
  if (own_thread) return;
  LogLine line{time, level, std::string(event), common, CurrentTrace()};
  for (const LogField& field : fields) line.fields.emplace_back(field.key(), field.value());
  if (lines_.Push(std::move(line))) Wake(lines_.size());
}

void OtlpExporter::Wake(size_t waiting) {
  if (waiting != kBatch) return;  // a batch is full: it goes without waiting for the round
  absl::MutexLock lock(&mu_);
  woken_ = true;
}

void OtlpExporter::Stop(absl::Duration limit) {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (!AwaitFor(mu_, absl::Condition(&done_), limit)) {
      cut_off_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
  }
  thread_.Join();
}

absl::Status OtlpExporter::failure() const {
  absl::MutexLock lock(&mu_);
  return failure_;
}

void OtlpExporter::Run() {
  own_thread = true;
  absl::BitGen random;
  absl::Duration backoff = kPeriod;
  while (true) {
    bool last = false;
    {
      absl::MutexLock lock(&mu_);
      const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || woken_; };
      AwaitFor(mu_, absl::Condition(&due), backoff);
      woken_ = false;
      last = stopping_;
    }
    if (Round()) {
      backoff = kPeriod;
    } else {
      backoff = std::min(backoff * absl::Uniform(random, 1.5, 2.5), kLongestBackoff);
    }
    if (!last) continue;
    spans_.Drop(static_cast<int64_t>(pending_spans_.size() + spans_.size()));
    lines_.Drop(static_cast<int64_t>(pending_lines_.size() + lines_.size()));
    absl::MutexLock lock(&mu_);
    done_ = true;
    return;
  }
}

bool OtlpExporter::Round() {
  return RoundOf(spans_, pending_spans_, sent_spans_,
                 [this](const std::vector<SpanRecord>& spans, int64_t& rejected) {
                   collector::trace::v1::ExportTraceServiceResponse response;
                   const absl::Status status =
                       Call(stubs_->traces, ToOtlp(spans, resource_), response);
                   rejected = Rejected(response);
                   return status;
                 }) &&
         RoundOf(lines_, pending_lines_, sent_lines_,
                 [this](const std::vector<LogLine>& lines, int64_t& rejected) {
                   collector::logs::v1::ExportLogsServiceResponse response;
                   const absl::Status status =
                       Call(stubs_->logs, ToOtlp(lines, resource_), response);
                   rejected = Rejected(response);
                   return status;
                 });
}

template <typename Item, typename Send>
bool OtlpExporter::RoundOf(ExportQueue<Item>& queue, std::vector<Item>& pending,
                           std::atomic<int64_t>& sent, Send send) {
  while (true) {
    if (pending.empty()) pending = queue.Take(kBatch);
    if (pending.empty()) return true;
    int64_t rejected = 0;
    const absl::Status status = send(pending, rejected);
    Note(status);
    if (MayWorkAgain(status.code())) return false;
    if (!status.ok()) rejected = static_cast<int64_t>(pending.size());
    queue.Drop(rejected);
    sent += static_cast<int64_t>(pending.size()) - rejected;
    pending.clear();
  }
}

template <typename Stub, typename Request, typename Response>
absl::Status OtlpExporter::Call(Stub& stub, const Request& request, Response& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(settings_.timeout));
  for (const auto& [name, value] : settings_.headers) context.AddMetadata(name, value);
  {
    absl::MutexLock lock(&mu_);
    if (cut_off_) return absl::CancelledError("the process ends");
    context_ = &context;
  }
  const grpc::Status status = stub.Export(&context, request, &response);
  absl::MutexLock lock(&mu_);
  context_ = nullptr;
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void OtlpExporter::Note(const absl::Status& status) {
  bool before = false;
  {
    absl::MutexLock lock(&mu_);
    before = failure_.ok();
    if (!cut_off_ || before) failure_ = status;
  }
  if (!say_failures_ || before == status.ok()) return;
  if (status.ok()) return LogInfo("telemetry_exported_again", {{"receiver", settings_.address}});
  LogWarn("telemetry_not_exported",
          {{"receiver", settings_.address}, {"status", StatusText(status)}});
}

}  // namespace seer
