#include "common/otlp/exporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "common/base/error.h"
#include "tests/support/certificates.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/otlp/receiver.h"

namespace seer {
namespace {

using testing::FailsWith;
using testing::Receiver;

SpanRecord SpanNamed(const std::string& name) {
  SpanRecord span;
  span.name = name;
  span.kind = SpanKind::kServer;
  span.context = {0x0102030405060708, 0x1112131415161718, 0x2122232425262728, true};
  span.parent_span = 0x3132333435363738;
  span.start = absl::UnixEpoch() + absl::Seconds(5);
  span.end = span.start + absl::Nanoseconds(7);
  span.attributes = {{"text", "t"}, {"number", 3}, {"ratio", 0.5}, {"yes", true}};
  return span;
}

std::unique_ptr<OtlpExporter> To(const std::string& address) {
  OtlpSettings settings;
  settings.address = address;
  return OtlpExporter::Start(settings, {{"service.name", "test"}}, true).value();
}

TEST(OtlpExporterTest, ASpanArrivesAsOtlpHasIt) {
  Receiver receiver;
  const auto exporter = To(receiver.address());
  SpanRecord failed = SpanNamed("failed");
  failed.failed = true;
  failed.message = "caf\xe9";
  failed.parent_span = 0;
  exporter->Take(SpanNamed("work"));
  exporter->Take(failed);
  exporter->Stop(absl::Seconds(60));
  const auto spans = receiver.Spans(2);
  ASSERT_EQ(spans.size(), 2u);
  const auto& span = spans[0];
  EXPECT_EQ(span.name(), "work");
  EXPECT_EQ(span.trace_id(), "\x01\x02\x03\x04\x05\x06\x07\x08\x11\x12\x13\x14\x15\x16\x17\x18");
  EXPECT_EQ(span.span_id(), "\x21\x22\x23\x24\x25\x26\x27\x28");
  EXPECT_EQ(span.parent_span_id(), "\x31\x32\x33\x34\x35\x36\x37\x38");
  EXPECT_EQ(span.kind(), opentelemetry::proto::trace::v1::Span::SPAN_KIND_SERVER);
  EXPECT_EQ(span.start_time_unix_nano(), 5'000'000'000u);
  EXPECT_EQ(span.end_time_unix_nano(), 5'000'000'007u);
  ASSERT_EQ(span.attributes_size(), 4);
  EXPECT_EQ(span.attributes(0).value().string_value(), "t");
  EXPECT_EQ(span.attributes(1).value().int_value(), 3);
  EXPECT_EQ(span.attributes(2).value().double_value(), 0.5);
  EXPECT_TRUE(span.attributes(3).value().bool_value());
  EXPECT_EQ(span.status().code(), opentelemetry::proto::trace::v1::Status::STATUS_CODE_UNSET);
  EXPECT_EQ(spans[1].parent_span_id(), "");
  EXPECT_EQ(spans[1].status().code(), opentelemetry::proto::trace::v1::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(spans[1].status().message(), "caf\xef\xbf\xbd");
  EXPECT_EQ(receiver.resource()["service.name"], "test");
  EXPECT_EQ(exporter->spans().exported, 2);
  EXPECT_EQ(exporter->spans().dropped, 0);
}

TEST(OtlpExporterTest, ALineArrivesWithItsSeverityFieldsAndTrace) {
  Receiver receiver;
  const auto exporter = To(receiver.address());
  SetLogSink(exporter.get());
  LogWarn("before");
  {
    const WithinTrace within({1, 2, 3, true});
    LogError("disk_full", {{"path", "/data"}, {"free", 0}});
  }
  SetLogSink(nullptr);
  LogError("after");
  exporter->Stop(absl::Seconds(60));
  const auto lines = receiver.Lines(2);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].severity_text(), "WARN");
  EXPECT_EQ(lines[0].trace_id(), "");
  EXPECT_EQ(lines[1].event_name(), "disk_full");
  EXPECT_EQ(lines[1].body().string_value(), "disk_full");
  EXPECT_EQ(lines[1].severity_number(), opentelemetry::proto::logs::v1::SEVERITY_NUMBER_ERROR);
  EXPECT_GT(lines[1].time_unix_nano(), 0u);
  ASSERT_EQ(lines[1].attributes_size(), 2);
  EXPECT_EQ(lines[1].attributes(0).key(), "path");
  EXPECT_EQ(lines[1].attributes(1).value().string_value(), "0");
  EXPECT_EQ(lines[1].trace_id(), std::string("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2", 16));
  EXPECT_EQ(lines[1].span_id(), std::string("\0\0\0\0\0\0\0\3", 8));
}

TEST(OtlpExporterTest, HeadersGoWithEachCall) {
  Receiver receiver;
  OtlpSettings settings;
  settings.address = receiver.address();
  settings.headers = {{"authorization", "Bearer s3cret"}};
  const auto exporter = OtlpExporter::Start(settings, {}, true).value();
  exporter->Take(SpanNamed("work"));
  exporter->Stop(absl::Seconds(60));
  EXPECT_EQ(receiver.metadata()["authorization"], "Bearer s3cret");
}

TEST(OtlpExporterTest, WhatFindsNoRoomIsDroppedAndCountedWhileTheReceiverIsSlow) {
  Receiver receiver;
  receiver.Hold(true);
  const auto exporter = To(receiver.address());
  constexpr int kSpans = static_cast<int>(OtlpExporter::kQueue + OtlpExporter::kBatch) + 1000;
  for (int i = 0; i < kSpans; ++i) exporter->Take(SpanNamed("work"));  // none of them waits
  // One batch may be with the receiver; all others have no room.
  EXPECT_GE(exporter->spans().dropped, 1000);
  EXPECT_LE(exporter->spans().dropped, 1000 + static_cast<int>(OtlpExporter::kBatch));
  receiver.Hold(false);
  exporter->Stop(absl::Seconds(60));
  EXPECT_EQ(exporter->spans().exported + exporter->spans().dropped, kSpans);
  EXPECT_EQ(static_cast<int64_t>(receiver.Spans(0).size()), exporter->spans().exported);
}

TEST(OtlpExporterTest, AReceiverThatHoldsItsCallsIsLeftAtTheLimit) {
  Receiver receiver;
  receiver.Hold(true);
  const auto exporter = To(receiver.address());
  exporter->Take(SpanNamed("work"));
  receiver.AwaitCalls(1);
  exporter->Stop(absl::Milliseconds(1));  // its own limit of a call is 10 s
  EXPECT_EQ(exporter->spans().exported, 0);
  EXPECT_EQ(exporter->spans().dropped, 1);
}

TEST(OtlpExporterTest, ABatchIsSentAgainToAReceiverThatWasAway) {
  Receiver receiver;
  receiver.Answer(grpc::Status(grpc::StatusCode::UNAVAILABLE, "not now"));
  const auto exporter = To(receiver.address());
  exporter->Take(SpanNamed("work"));
  receiver.AwaitCalls(1);
  receiver.Answer(grpc::Status::OK);
  EXPECT_EQ(receiver.Spans(1).size(), 1u);
  exporter->Stop(absl::Seconds(60));
  EXPECT_EQ(exporter->spans().exported, 1);
  EXPECT_OK(exporter->failure());
}

TEST(OtlpExporterTest, WhatIsRefusedForGoodIsDropped) {
  Receiver receiver;
  receiver.Answer(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "who are you"));
  const auto exporter = To(receiver.address());
  exporter->Take(SpanNamed("refused"));
  receiver.AwaitCalls(1);
  receiver.Answer(grpc::Status::OK);
  receiver.Reject(1);
  exporter->Take(SpanNamed("rejected"));
  exporter->Take(SpanNamed("taken"));
  exporter->Stop(absl::Seconds(60));
  EXPECT_EQ(exporter->spans().dropped, 2);
  EXPECT_EQ(exporter->spans().exported, 1);
}

TEST(OtlpExporterTest, AFailureIsSaidOnceAndIsNotItselfExported) {
  Receiver receiver;
  receiver.Answer(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "who are you"));
  const auto exporter = To(receiver.address());
  SetLogSink(exporter.get());
  ::testing::internal::CaptureStderr();
  for (int i = 1; i <= 3; ++i) {
    exporter->Take(SpanNamed("work"));
    receiver.AwaitCalls(i);
  }
  receiver.Answer(grpc::Status::OK);
  exporter->Take(SpanNamed("work"));
  receiver.Spans(1);
  SetLogSink(nullptr);
  exporter->Stop(absl::Seconds(60));
  const std::string said = ::testing::internal::GetCapturedStderr();
  const size_t first = said.find("telemetry_not_exported");
  ASSERT_NE(first, std::string::npos) << said;
  EXPECT_EQ(said.find("telemetry_not_exported", first + 1), std::string::npos) << said;
  EXPECT_THAT(said, ::testing::HasSubstr("who are you"));
  EXPECT_THAT(said, ::testing::HasSubstr("telemetry_exported_again"));
  EXPECT_TRUE(receiver.Lines(0).empty());
}

std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(OtlpExporterTest, OverTlsOnlyAReceiverWithACertificateOfTheAuthorityGetsAnything) {
  const testing::TempDir dir;
  const testing::CertificateAuthority authority(dir.path(), "ca"), other(dir.path(), "other");
  const testing::CertificateFiles files = authority.Issue("receiver", {"IP:127.0.0.1"});
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({TextOf(files.key), TextOf(files.certificate)});
  Receiver receiver(grpc::SslServerCredentials(options));
  OtlpSettings settings;
  settings.address = receiver.address();
  settings.tls = true;
  settings.certificate = other.file();
  auto exporter = OtlpExporter::Start(settings, {}, false).value();
  exporter->Take(SpanNamed("to a stranger"));
  exporter->Stop(absl::Seconds(60));
  EXPECT_EQ(exporter->spans().dropped, 1);
  settings.certificate = authority.file();
  exporter = OtlpExporter::Start(settings, {}, false).value();
  exporter->Take(SpanNamed("work"));
  exporter->Stop(absl::Seconds(60));
  const auto spans = receiver.Spans(1);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].name(), "work");
}

TEST(OtlpExporterTest, ACertificateThatCannotBeReadIsAnError) {
  OtlpSettings settings;
  settings.address = "127.0.0.1:1";
  settings.tls = true;
  settings.certificate = "/no/such/ca.pem";
  const absl::Status status = OtlpExporter::Start(settings, {}, true).status();
  EXPECT_THAT(status, FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                "/no/such/ca.pem"));
  EXPECT_EQ(GetErrorDetail(status)->field, "OTEL_EXPORTER_OTLP_CERTIFICATE");
}

}  // namespace
}  // namespace seer
