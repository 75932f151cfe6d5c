#include "common/otlp/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/base/error.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

using Variables = std::map<std::string, std::string>;

absl::StatusOr<OtlpSettings> Read(const Variables& variables, const std::string& flag = "") {
  return ReadOtlpSettings(
      [&variables](const char* name) {
        const auto it = variables.find(name);
        return it == variables.end() ? "" : it->second;
      },
      flag);
}

TEST(OtlpSettingsTest, WithoutAnEndpointNothingIsExportedAndNothingElseIsRead) {
  EXPECT_EQ(Read({})->address, "");
  EXPECT_EQ(Read({{"OTEL_TRACES_SAMPLER", "xray"}})->address, "");
  EXPECT_EQ(Read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317"}, {"OTEL_SDK_DISABLED", "true"}})
                ->address,
            "");
  EXPECT_EQ(Read({{"OTEL_SDK_DISABLED", "TRUE"}}, "http://a:4317")->address, "");
  EXPECT_EQ(Read({{"OTEL_SDK_DISABLED", "no"}}, "http://a:4317")->address, "a:4317");
}

TEST(OtlpSettingsTest, AnEndpointIsHttpOrHttps) {
  const auto plain = Read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317/"}});
  EXPECT_EQ(plain->address, "collector:4317");
  EXPECT_FALSE(plain->tls);
  const auto tls = Read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://not-this:1"},
                         {"OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"}},
                        "https://collector");
  EXPECT_EQ(tls->address, "collector:4317");
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(tls->certificate, "ca.pem");
}

TEST(OtlpSettingsTest, TheStandardVariablesAreRead) {
  const auto settings =
      Read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317"},
            {"OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cr%2Ct, x-team = vision "},
            {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"},
            {"OTEL_LOGS_EXPORTER", "none"},
            {"OTEL_TRACES_SAMPLER", "parentbased_traceidratio"},
            {"OTEL_TRACES_SAMPLER_ARG", "0.5"},
            {"OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other"},
            {"OTEL_SERVICE_NAME", "mine"}});
  ASSERT_OK(settings);
  EXPECT_THAT(settings->headers,
              ElementsAre(Pair("authorization", "Bearer s3cr,t"), Pair("x-team", "vision")));
  EXPECT_EQ(settings->timeout, absl::Milliseconds(2500));
  EXPECT_TRUE(settings->traces);
  EXPECT_FALSE(settings->logs);
  EXPECT_EQ(settings->sampler.ratio, 0.5);
  EXPECT_THAT(settings->resource,
              ElementsAre(Pair("deployment.environment.name", "test"),
                          Pair("service.name", "other"), Pair("service.name", "mine")));
}

TEST(OtlpSettingsTest, NonsenseIsRefusedWhereItStandsWithARemedy) {
  const std::string endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
  const auto wrong = [](const Variables& variables, const std::string& field,
                        const std::string& hint, const std::string& flag = "") {
    const absl::Status status = Read(variables, flag).status();
    ASSERT_FALSE(status.ok()) << field;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorDetail(status)->field, field);
    EXPECT_THAT(GetErrorDetail(status)->hint, HasSubstr(hint));
  };
  for (const char* text :
       {"collector:4317", "grpc://a:1", "http://", "http://:4317", "http://a:0", "http://a:99999",
        "http://a:http", "http://a:4318/v1/traces", "http://user@a:1", "localhost"})
    wrong({{endpoint, text}}, endpoint, "http://HOST:PORT");
  wrong({}, "otlp-endpoint", "http://HOST:PORT", "nowhere");
  const auto with = [&](const std::string& name, const std::string& value) {
    return Variables{{endpoint, "http://a:1"}, {name, value}};
  };
  wrong(with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc");
  wrong(with("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "OTEL_EXPORTER_OTLP_TIMEOUT", "milliseconds");
  wrong(with("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), "OTEL_EXPORTER_OTLP_TIMEOUT", "milliseconds");
  wrong(with("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"), "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "https://");
  wrong(with("OTEL_TRACES_EXPORTER", "jaeger"), "OTEL_TRACES_EXPORTER", "otlp or none");
  wrong(with("OTEL_LOGS_EXPORTER", "console"), "OTEL_LOGS_EXPORTER", "otlp or none");
  wrong(with("OTEL_TRACES_SAMPLER", "xray"), "OTEL_TRACES_SAMPLER", "always_on");
  wrong(with("OTEL_RESOURCE_ATTRIBUTES", "a=1,b"), "OTEL_RESOURCE_ATTRIBUTES", "KEY=VALUE");
  wrong(with("OTEL_RESOURCE_ATTRIBUTES", "a=%4"), "OTEL_RESOURCE_ATTRIBUTES", "%2C");
  wrong(with("OTEL_EXPORTER_OTLP_HEADERS", "a=%0A"), "OTEL_EXPORTER_OTLP_HEADERS", "ASCII");
  wrong(with("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"), "OTEL_EXPORTER_OTLP_HEADERS", "ASCII");
}

TEST(OtlpSettingsTest, AnErrorDoesNotRepeatASecret) {
  const absl::Status status = Read({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"},
                                    {"OTEL_EXPORTER_OTLP_HEADERS", "x=1,s3cret-token"}})
                                  .status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(StatusText(status), Not(HasSubstr("s3cret")));
}

}  // namespace
}  // namespace seer
