// The registry and its text exposition over HTTP.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/metrics/http.h"
#include "common/metrics/registry.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;

// What a scraper gets.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n");
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t got; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

TEST(Metrics, AreServedAsTextAndAbsentUntilSet) {
  MetricsRegistry registry;
  registry.AddCounter("seer_test_total", "Counts.").Add(2, {{"kind", "a"}});
  Gauge& gauge = registry.AddGauge("seer_test_ratio", "A ratio.");
  registry.AddGauge("seer_test_unset", "Nothing yet.");
  gauge.Set(0.5);
  registry.AddHistogram("seer_test_seconds", "Time.", {1, 2}).Observe(1.5);
  ASSERT_OK_AND_ASSIGN(const auto http, MetricsHttp::Start("127.0.0.1:0", registry));
  const std::string page = Get(http->port(), "/metrics");
  for (const char* line :
       {"seer_test_total{kind=\"a\"} 2\n", "seer_test_ratio 0.5\n", "seer_build_info{commit=\"",
        "# HELP seer_test_seconds Time.\n", "seer_test_seconds_bucket{le=\"1\"} 0\n",
        "seer_test_seconds_bucket{le=\"2\"} 1\n", "seer_test_seconds_bucket{le=\"+Inf\"} 1\n"}) {
    EXPECT_TRUE(absl::StrContains(page, line)) << line << page;
  }
  EXPECT_FALSE(absl::StrContains(page, "seer_test_unset ")) << page;
}

TEST(Metrics, ANameDeclaredTwiceIsOneSeries) {
  MetricsRegistry registry;
  registry.AddCounter("seer_test_total", "Counts.").Add(1);
  registry.AddCounter("seer_test_total", "Counts.").Add(1);
  EXPECT_TRUE(absl::StrContains(registry.Render(), "seer_test_total 2\n")) << registry.Render();
}

TEST(Metrics, ARemovedSeriesIsGone) {
  MetricsRegistry registry;
  Gauge& gauge = registry.AddGauge("seer_test_ratio", "A ratio.");
  gauge.Set(1, {{"job", "a"}});
  gauge.Set(2, {{"job", "b"}});
  gauge.Remove({{"job", "a"}});
  EXPECT_FALSE(absl::StrContains(registry.Render(), "job=\"a\""));
  EXPECT_TRUE(absl::StrContains(registry.Render(), "job=\"b\""));
}

// As an agent serves what its trainers serve.
TEST(Metrics, SeriesOfOtherProcessesBecomePartOfTheirOwn) {
  MetricsRegistry rank, agent;
  rank.AddCounter("seer_test_total", "Counts.").Add(2, {{"kind", "a \"b\"\\\n"}});
  rank.AddGauge("seer_test_ratio", "A ratio.").Set(0.25, {{"rank", "7"}});
  Histogram& seconds = rank.AddHistogram("seer_test_seconds", "Time.", {1, 2});
  seconds.Observe(1.5, {{"phase", "x"}});
  seconds.Observe(5, {{"phase", "y"}});
  agent.AddGauge("seer_test_ratio", "A ratio.").Set(0.5);
  agent.AddSource([&] {
    return std::vector<MetricsText>{{rank.Render(), {{"job", "j"}, {"rank", "0"}}},
                                    {"seer_x{ 1\n# TYPE seer_y gauge\nseer_y what\n", {}}};
  });
  ASSERT_OK_AND_ASSIGN(const auto http, MetricsHttp::Start("127.0.0.1:0", agent));
  const std::string page = Get(http->port(), "/metrics");
  for (const char* line :
       {"seer_test_total{job=\"j\",kind=\"a \\\"b\\\"\\\\\\n\",rank=\"0\"} 2\n",
        "seer_test_ratio 0.5\n", "seer_test_ratio{job=\"j\",rank=\"7\"} 0.25\n",
        "# TYPE seer_test_seconds histogram\n",
        "seer_test_seconds_bucket{job=\"j\",phase=\"x\",rank=\"0\",le=\"1\"} 0\n",
        "seer_test_seconds_bucket{job=\"j\",phase=\"x\",rank=\"0\",le=\"2\"} 1\n",
        "seer_test_seconds_bucket{job=\"j\",phase=\"y\",rank=\"0\",le=\"+Inf\"} 1\n",
        "seer_test_seconds_sum{job=\"j\",phase=\"y\",rank=\"0\"} 5\n"})
    EXPECT_TRUE(absl::StrContains(page, line)) << line << page;
  EXPECT_EQ(page.find("# TYPE seer_test_ratio"), page.rfind("# TYPE seer_test_ratio")) << page;
}

TEST(Metrics, APortInUseIsTold) {
  MetricsRegistry registry;
  ASSERT_OK_AND_ASSIGN(const auto first, MetricsHttp::Start("127.0.0.1:0", registry));
  const std::string address = absl::StrCat("127.0.0.1:", first->port());
  EXPECT_THAT(MetricsHttp::Start(address, registry),
              FailsWith(absl::StatusCode::kAlreadyExists, reason::kPortInUse, address));
}

}  // namespace
}  // namespace seer
