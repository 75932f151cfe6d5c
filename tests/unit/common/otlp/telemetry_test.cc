#include "common/otlp/telemetry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/base/log.h"
#include "common/trace/tracer.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/common/otlp/receiver.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Receiver;

class TelemetryTest : public ::testing::Test {
 protected:
  void SetUp() override { Clear(); }
  void TearDown() override { Clear(); }
  static void Clear() {
    for (const char* name : {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME",
                             "OTEL_RESOURCE_ATTRIBUTES", "OTEL_LOGS_EXPORTER"})
      ::unsetenv(name);
  }
};

TEST_F(TelemetryTest, WithoutAnEndpointNothingIsRecorded) {
  const auto telemetry = Telemetry::Start({.service = "seer-test"});
  ASSERT_OK(telemetry);
  EXPECT_FALSE(Tracing());
  MetricsRegistry metrics;
  AddTelemetryMetrics(metrics);
  EXPECT_THAT(metrics.Render(), Not(HasSubstr("seer_telemetry")));
  EXPECT_OK((*telemetry)->Stop());
}

TEST_F(TelemetryTest, SpansAndLinesGoToTheEndpointOfTheEnvironmentUntilItStops) {
  Receiver receiver;
  ::setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint().c_str(), 1);
  ::setenv("OTEL_SERVICE_NAME", "named", 1);
  ::setenv("OTEL_RESOURCE_ATTRIBUTES", "team=vision", 1);
  auto telemetry = Telemetry::Start({.service = "seer-test",
                                     .attributes = {{"seer.worker", "w"}},
                                     .flush_limit = absl::Minutes(1)});
  ASSERT_OK(telemetry);
  EXPECT_TRUE(Tracing());
  Span::Begin("work", SpanKind::kInternal, {}).End();
  LogWarn("careful");
  receiver.Spans(1);
  receiver.Lines(1);
  MetricsRegistry metrics;
  AddTelemetryMetrics(metrics);
  EXPECT_THAT(metrics.Render(), HasSubstr("seer_telemetry_dropped_total{signal=\"logs\"} 0"));
  EXPECT_THAT(metrics.Render(), HasSubstr("seer_telemetry_exported_total{signal=\"spans\"}"));
  EXPECT_OK((*telemetry)->Stop());
  EXPECT_FALSE(Tracing());
  auto resource = receiver.resource();
  EXPECT_EQ(resource["service.name"], "named");
  EXPECT_EQ(resource["service.version"], SEER_VERSION);
  EXPECT_EQ(resource["service.instance.id"].size(), 32u);
  EXPECT_EQ(resource["team"], "vision");
  EXPECT_EQ(resource["seer.worker"], "w");
  EXPECT_EQ(resource["telemetry.sdk.language"], "cpp");
}

TEST_F(TelemetryTest, AnInheritedEnvironmentDoesNotNameTheService) {
  Receiver receiver;
  ::setenv("OTEL_SERVICE_NAME", "the agent", 1);
  ::setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=7,team=vision", 1);
  const auto telemetry = Telemetry::Start({.service = "seer-trainer",
                                           .endpoint = receiver.endpoint(),
                                           .inherited = true,
                                           .flush_limit = absl::Minutes(1)});
  ASSERT_OK(telemetry);
  Span::Begin("work", SpanKind::kInternal, {}).End();
  ASSERT_OK((*telemetry)->Stop());
  auto resource = receiver.resource();
  EXPECT_EQ(resource["service.name"], "seer-trainer");
  EXPECT_NE(resource["service.instance.id"], "7");
  EXPECT_EQ(resource["team"], "vision");
}

TEST_F(TelemetryTest, AReceiverThatIsNotThereIsTold) {
  std::string gone;
  {
    const Receiver receiver;
    gone = receiver.endpoint();
  }
  const auto telemetry = Telemetry::Start(
      {.service = "seer", .endpoint = gone, .logs = false, .flush_limit = absl::Minutes(1)});
  ASSERT_OK(telemetry);
  Span::Begin("work", SpanKind::kInternal, {}).End();
  EXPECT_EQ((*telemetry)->Stop().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace seer
