// Claims: without an endpoint a span costs nanoseconds and a call nothing that can be measured;
// with one a span costs about a microsecond of the thread that makes it. Against a receiver that is
// not there, so that the queue is full and what comes is dropped: the export itself is another
// thread's.
//
//   tracing_bench
//
// JSON lines: {"what", "tracing", "nanoseconds"}: CPU time of a step's share in its span (the flag,
// the additions), of a span with three attributes, and of a unary call on the loopback, both ends.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/metrics/registry.h"
#include "common/otlp/telemetry.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/trace/tracer.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer {
namespace {

class Workers final : public v1::Workers::Service {
  grpc::Status GetWorker(grpc::ServerContext*, const v1::GetWorkerRequest*, v1::Worker*) override {
    return grpc::Status::OK;
  }
};

// The median of nine rounds.
void Measure(const char* what, int times, const std::function<void()>& body) {
  std::vector<double> rounds;
  for (int round = 0; round < 9; ++round) {
    const std::clock_t start = std::clock();
    for (int i = 0; i < times; ++i) body();
    rounds.push_back(1e9 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / times);
  }
  std::sort(rounds.begin(), rounds.end());
  std::printf("{\"what\": \"%s\", \"tracing\": %s, \"nanoseconds\": %.0f}\n", what,
              Tracing() ? "true" : "false", rounds[rounds.size() / 2]);
}

void MeasureAll() {
  const TraceContext trace{1, 2, 3, Tracing()};
  const WithinTrace within(trace);
  Span block = Span::Child("steps");
  double seconds = 0;
  Measure("step", 1'000'000, [&] {
    if (!block.recording()) return;
    seconds += absl::ToDoubleSeconds(Clock::Real().Steady());
  });
  block.Set("seconds", seconds);
  Measure("span", 100'000, [] {
    Span span = Span::Child("steps");
    span.Set("seer.steps", int64_t{10});
    span.Set("seer.loss", 7.5);
    span.Set("seer.compute_seconds", 9.5);
  });
  MetricsRegistry metrics;
  Workers workers;
  const auto server = RpcServer::Start({}, {&workers}, metrics).value();
  const auto stub = v1::Workers::NewStub(MakeChannel({server->address()}));
  Measure("call", 3'000, [&] {
    grpc::ClientContext context;
    v1::Worker worker;
    stub->GetWorker(&context, {}, &worker);
  });
}

}  // namespace
}  // namespace seer

int main() {
  seer::InitLogging(seer::LogFormat::kText, seer::LogLevel::kError, {});
  seer::MeasureAll();
  const auto telemetry = seer::Telemetry::Start(
      {.service = "bench", .endpoint = "http://127.0.0.1:1", .flush_limit = absl::ZeroDuration()});
  if (!telemetry.ok()) return 1;
  seer::MeasureAll();
  return 0;
}
