// What an agent asks its trainers for.
#include "worker/agent/rank_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "common/metrics/http.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

using ::testing::HasSubstr;

class RankMetricsTest : public ::testing::Test {
 protected:
  std::string PortFile(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  testing::TempDir dir_;
  RankMetrics ranks_;
};

TEST_F(RankMetricsTest, AsksThoseThatRunAndHaveSaidWhere) {
  MetricsRegistry trainer;
  trainer.AddGauge("seer_test_ratio", "A ratio.").Set(0.5);
  ASSERT_OK_AND_ASSIGN(const auto http, MetricsHttp::Start("127.0.0.1:0", trainer));
  const MetricLabels labels = {{"job", "j"}, {"rank", "0"}};
  ranks_.Watch(1, labels, PortFile("one", std::to_string(http->port())));
  ranks_.Watch(2, {}, dir_ / "not-there-yet");
  ranks_.Watch(3, {}, PortFile("three", "what?"));
  const std::vector<MetricsText> texts = ranks_.Texts();
  ASSERT_EQ(texts.size(), 1u);
  EXPECT_THAT(texts[0].text, HasSubstr("seer_test_ratio 0.5\n"));
  EXPECT_EQ(texts[0].labels, labels);
  ranks_.Forget(1);
  EXPECT_TRUE(ranks_.Texts().empty());
}

// A stopped trainer's port still takes connections: the kernel does.
TEST_F(RankMetricsTest, ARankThatStandsStillDoesNotCostTheOthers) {
  MetricsRegistry trainer;
  ASSERT_OK_AND_ASSIGN(const auto http, MetricsHttp::Start("127.0.0.1:0", trainer));
  const int silent = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(::listen(silent, 1), 0);
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  ASSERT_EQ(::getsockname(silent, reinterpret_cast<sockaddr*>(&address), &length), 0);
  ranks_.Watch(1, {}, PortFile("silent", std::to_string(ntohs(address.sin_port))));
  ranks_.Watch(2, {}, PortFile("one", std::to_string(http->port())));
  const std::vector<MetricsText> texts = ranks_.Texts();
  ASSERT_EQ(texts.size(), 1u);
  EXPECT_THAT(texts[0].text, HasSubstr("seer_build_info"));
  ::close(silent);
}

}  // namespace
}  // namespace seer::worker
