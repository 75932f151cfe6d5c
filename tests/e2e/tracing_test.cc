// A job's trace over all processes of a cluster, and their logs, at a receiver that is made of
// OpenTelemetry's own schema.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/support/python_server.h"

namespace seer::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsSubsetOf;

class TracingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kVariables) ::unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  // Of all processes that are started from now on.
  void SendTo(const std::string& endpoint) {
    ::setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.c_str(), 1);
  }
  static constexpr const char* kVariables[] = {"OTEL_EXPORTER_OTLP_ENDPOINT",
                                               "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER"};
};

// What the receiver has written so far.
class Received {
 public:
  explicit Received(const std::filesystem::path& file) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_discarded()) continue;  // its end is still being written
      (one["what"] == "span" ? spans : logs).push_back(one);
    }
  }
  const json* Find(const std::string& service, const std::string& name) const {
    for (const json& span : spans)
      if (span["resource"]["service.name"] == service && span["name"] == name) return &span;
    return nullptr;
  }
  std::vector<json> spans, logs;
};

TEST_F(TracingTest, OneTraceLeadsFromTheCommandToTheDataServiceAndLogsAreOfIt) {
  const testing::TempDir dir;
  const testing::PythonServer receiver("otlp_receiver.py", {dir / "received"});
  SendTo(absl::StrCat("http://127.0.0.1:", receiver.port()));
  ::setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret-of-the-test", 1);
  {
    const Cluster cluster;
    const Result up = cluster.Up("--workers 2");
    ASSERT_EQ(up.code, 0) << up.out;
    cluster.AddDigits();
    const std::string job = cluster.Submit("--set distributed.ranks=2 --name traced");
    ASSERT_EQ(cluster.Wait(job).code, 0);
  }  // all processes have ended, and sent what they had
  const Received received(dir / "received");
  const json* const command = received.Find("seer", "seer job submit");
  ASSERT_NE(command, nullptr);
  const std::string trace = (*command)["trace"];
  EXPECT_EQ((*command)["parent"], "");

  std::set<std::string> services, ids;
  std::map<std::string, json> trace_spans;
  for (const json& span : received.spans) {
    if (span["trace"] != trace) continue;
    services.insert(span["resource"]["service.name"]);
    EXPECT_TRUE(trace_spans.emplace(span["span"], span).second) << span;
    EXPECT_GE(span["end"].get<int64_t>(), span["start"].get<int64_t>());
  }
  EXPECT_THAT(services, ::testing::ElementsAre("seer", "seer-coordinator", "seer-dataservice",
                                               "seer-trainer", "seer-worker"));
  int roots = 0;
  for (const auto& [id, span] : trace_spans) {
    if (span["parent"] == "") {
      ++roots;
    } else {
      EXPECT_TRUE(trace_spans.contains(span["parent"])) << "an orphan: " << span;
    }
  }
  EXPECT_EQ(roots, 1);
  // Of all traces, also those that servers began.
  std::set<std::pair<std::string, std::string>> all;
  for (const json& span : received.spans) all.emplace(span["trace"], span["span"]);
  for (const json& span : received.spans) {
    EXPECT_TRUE(span["parent"] == "" || all.contains({span["trace"], span["parent"]})) << span;
  }

  // The way down: each under the one before.
  const auto under = [&](const json* parent, const std::string& service, const std::string& name) {
    for (const auto& [id, span] : trace_spans) {
      if (parent != nullptr && span["parent"] == (*parent)["span"] && span["name"] == name &&
          span["resource"]["service.name"] == service)
        return &span;
    }
    ADD_FAILURE() << "no " << name << " of " << service;
    return static_cast<const json*>(nullptr);
  };
  const json* call = under(command, "seer", "seer.v1.Jobs/CreateJob");
  const json* created = under(call, "seer-coordinator", "seer.v1.Jobs/CreateJob");
  under(created, "seer-coordinator", "job queued");
  under(created, "seer-coordinator", "seer.v1.Pools/GetPool");  // its call to the data service
  const json* attempt = under(created, "seer-coordinator", "attempt");
  const json* rank = under(attempt, "seer-worker", "rank");
  for (const char* name : {"join gang", "open data", "first step", "snapshot", "write checkpoint",
                           "commit checkpoint", "wait for the last commit"})
    under(rank, "seer-trainer", name);
  const json* stream = under(rank, "seer-trainer", "seer.v1.Batches/StreamBatches");
  under(stream, "seer-dataservice", "seer.v1.Batches/StreamBatches");
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ((*call)["kind"], 3);
  EXPECT_EQ((*created)["kind"], 2);
  EXPECT_EQ((*created)["attributes"]["rpc.system"], "grpc");
  EXPECT_EQ((*created)["attributes"]["rpc.service"], "seer.v1.Jobs");
  EXPECT_EQ((*created)["attributes"]["rpc.method"], "CreateJob");
  EXPECT_EQ((*created)["attributes"]["rpc.grpc.status_code"], 0);
  EXPECT_EQ((*attempt)["attributes"]["seer.ranks"], 2);
  EXPECT_EQ((*rank)["attributes"]["process.exit.code"], 0);
  std::set<std::string> ranks;
  for (const auto& [id, span] : trace_spans) {
    EXPECT_FALSE(span["failed"]) << span;
    // What is done again and again has no spans.
    EXPECT_FALSE(absl::StrContains(span["name"].get<std::string>(), "ReportProgress")) << span;
    if (span["resource"]["service.name"] == "seer-trainer")
      ranks.insert(span["resource"]["seer.rank"]);
  }
  EXPECT_THAT(ranks, ::testing::ElementsAre("0", "1"));

  std::set<std::string> logging;
  std::map<std::string, int> of_trace;  // by service and event
  for (const json& log : received.logs) {
    logging.insert(log["resource"]["service.name"]);
    EXPECT_EQ(log["event"], log["body"]);
    if (log["trace"] == trace) {
      ++of_trace[absl::StrCat(log["resource"]["service.name"].get<std::string>(), " ",
                              log["event"].get<std::string>())];
    }
    EXPECT_EQ(log["trace"] == "", log["span"] == "") << log;
  }
  EXPECT_THAT(logging, ::testing::ElementsAre("seer-coordinator", "seer-dataservice",
                                              "seer-trainer", "seer-worker"));
  EXPECT_GE(of_trace["seer-coordinator job_state_changed"], 3);
  EXPECT_EQ(of_trace["seer-worker rank_started"], 2);
  EXPECT_EQ(of_trace["seer-trainer joining_gang"], 2);
  EXPECT_EQ(of_trace["seer-worker rank_exited"], 2);
  EXPECT_GE(of_trace["seer-trainer checkpoint_committed"], 2);
  EXPECT_THAT(ReadAll(dir / "received"), ::testing::Not(HasSubstr("s3cret")));
}

TEST_F(TracingTest, AReceiverThatIsNotThereStopsNothing) {
  const Cluster cluster;
  {
    const testing::TempDir dir;
    const testing::PythonServer receiver("otlp_receiver.py", {dir / "received"});
    SendTo(absl::StrCat("http://127.0.0.1:", receiver.port()));
  }  // nobody listens there any more
  const Result up = cluster.Up("--workers 2");
  ASSERT_EQ(up.code, 0) << up.out;
  EXPECT_THAT(up.out, HasSubstr("warning: the trace was not sent"));
  cluster.AddDigits();
  const std::string job = cluster.Submit("");
  const Result done = cluster.Wait(job);
  EXPECT_EQ(done.code, 0) << done.out;
  EXPECT_EQ(cluster.State(job), "JOB_STATE_SUCCEEDED");
}

TEST_F(TracingTest, NonsenseInTheEnvironmentIsSaidWithItsRemedy) {
  const Cluster cluster;
  SendTo("collector:4317");
  const Result list = cluster.Seer("recipe list");
  EXPECT_EQ(list.code, 0) << list.out;  // the command itself is done
  EXPECT_THAT(list.out, HasSubstr("warning: no trace is sent"));
  EXPECT_THAT(list.out, HasSubstr("OTEL_EXPORTER_OTLP_ENDPOINT"));
  for (const char* program : {"seer-coordinator --storage /tmp", "seer-dataservice --pools /tmp",
                              "seer-worker --coordinator 127.0.0.1:1"}) {
    const Result refused =
        Shell(absl::StrCat((Bin() / program).string(), " --otlp-endpoint nowhere"));
    EXPECT_NE(refused.code, 0) << program;
    EXPECT_THAT(refused.out, HasSubstr("'nowhere' is no endpoint of OTLP over gRPC")) << program;
    EXPECT_THAT(refused.out, HasSubstr("http://HOST:PORT")) << program;
    EXPECT_THAT(refused.out, HasSubstr("otlp-endpoint")) << program;
  }
}

}  // namespace
}  // namespace seer::e2e
