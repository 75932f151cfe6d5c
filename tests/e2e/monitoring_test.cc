// What deploy/prometheus and deploy/grafana ask: a real Prometheus scrapes a real training job, and
// answers every query of every dashboard, every recording rule, and what every alert rests on.
#include <gtest/gtest.h>
#include <signal.h>

#include <iostream>
#include <map>
#include <optional>
#include <regex>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/http/http_client.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/process.h"
#include "tests/support/image_files.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Series that such a run has not, and why. A query of one of them may stay without an answer.
const std::map<std::string, std::string>& NotHere() {
  static const auto& series = *new std::map<std::string, std::string>{
      {"seer_checkpoint_failures_total", "no checkpoint fails"},
      {"seer_data_backoff_seconds_total", "of cloud storage"},
      {"seer_data_bad_images_total", "images that cannot be decoded are left out at ingest"},
      {"seer_data_store_breaker_state", "of cloud storage"},
      {"seer_data_store_hedges_total", "of cloud storage"},
      {"seer_data_store_requests_total", "of cloud storage"},
      {"seer_data_store_retries_total", "of cloud storage"},
      {"seer_database_commit_failures_total", "no commit fails"},
      {"seer_preemption_lost_seconds_total", "nothing is preempted"},
      {"seer_preemptions_total", "nothing is preempted"},
      {"seer_tls_certificate_expiry_timestamp_seconds", "without TLS"},
      {"seer_train_nonfinite_steps_total", "all steps are finite"},
      {"seer_webhook_posts_total", "no webhook is named"},
      {"seer:storage_left:days", "the disk may not fill up meanwhile"},
  };
  return series;
}

// Names of series in an expression, with their label matchers: `seer_x{job="a"}`.
std::vector<std::string> Selectors(const std::string& expression) {
  static const std::regex kSelector(R"(\b(seer[:_][a-z0-9_:]+|up\b)(\{[^}]*\})?)");
  std::vector<std::string> selectors;
  for (std::sregex_iterator it(expression.begin(), expression.end(), kSelector), end; it != end;
       ++it)
    selectors.push_back(it->str());
  return selectors;
}

std::string NameOf(const std::string& selector) { return selector.substr(0, selector.find('{')); }

// Why it may stay without an answer.
std::optional<std::string> Excuse(const std::string& expression) {
  for (const std::string& selector : Selectors(expression))
    if (const auto it = NotHere().find(NameOf(selector)); it != NotHere().end()) return it->second;
  return std::nullopt;
}

class Prometheus {
 public:
  // Scrapes once a second what stands in `root`/targets.
  explicit Prometheus(const fs::path& root) : port_(FreePort()) {
    const fs::path deploy = Source() / "deploy/prometheus";
    fs::create_directories(root / "prometheus");
    std::string config = ReadAll(deploy / "prometheus.yml");
    config = absl::StrReplaceAll(config, {{": 15s", ": 1s"},
                                          {"rules/*.yml", (deploy / "rules/*.yml").string()},
                                          {"targets/*.yml", (root / "none.yml").string()},
                                          {"targets/*.json", (root / "targets.json").string()}});
    testing::WriteFile(root / "prometheus.yml", config);
    process_.emplace(
        std::vector<std::string>{"/usr/bin/prometheus",
                                 "--config.file=" + (root / "prometheus.yml").string(),
                                 "--storage.tsdb.path=" + (root / "prometheus").string(),
                                 absl::StrCat("--web.listen-address=127.0.0.1:", port_)},
        root / "prometheus.log");
    WaitFor([&] { return Get("/-/ready").has_value(); }, 60);
    if (::testing::Test::HasFailure()) std::cerr << process_->log();
  }

  // The result of an instant query: a vector, or a scalar as one element.
  json Query(const std::string& expression) const {
    std::string encoded;
    for (const char c : expression)
      absl::StrAppend(&encoded, std::isalnum(static_cast<unsigned char>(c)) != 0
                                    ? std::string(1, c)
                                    : absl::StrFormat("%%%02X", static_cast<unsigned char>(c)));
    const auto answer = Get("/api/v1/query?query=" + encoded);
    EXPECT_TRUE(answer.has_value()) << "refused: " << expression;
    return answer ? (*answer)["data"]["result"] : json::array();
  }
  json Rules() const { return (*Get("/api/v1/rules"))["data"]["groups"]; }

 private:
  // Of the moment: nobody else on this machine takes it in between but by bad luck.
  static int FreePort() {
    const Result port = Shell(
        "python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); "
        "print(s.getsockname()[1])'");
    return std::stoi(port.out);
  }
  std::optional<json> Get(const std::string& path) const {
    HttpClient client;
    HttpRequest request;
    request.url = absl::StrCat("http://127.0.0.1:", port_, path);
    const auto response = client.Do(request);
    if (!response.ok() || response->status != 200) return std::nullopt;
    const json parsed = json::parse(response->body, nullptr, false);
    return parsed.is_discarded() ? json(response->body) : parsed;
  }

  const int port_;
  std::optional<Process> process_;
};

// Where a query comes from, and the query.
using Queries = std::map<std::string, std::string>;

Queries DashboardQueries(const std::string& job) {
  Queries queries;
  for (const auto& entry : fs::directory_iterator(Source() / "deploy/grafana/dashboards")) {
    const json dashboard = json::parse(ReadAll(entry.path()));
    for (const json& panel : dashboard["panels"]) {
      for (const json& target : panel["targets"]) {
        const std::string expression =
            absl::StrReplaceAll(target["expr"].get<std::string>(),
                                {{"$__rate_interval", "20s"}, {"$job", job}, {"$pool", "picky"}});
        queries[absl::StrCat(entry.path().stem().string(), " / ", panel["title"].get<std::string>(),
                             " / ", target["refId"].get<std::string>())] = expression;
      }
    }
    for (const json& variable : dashboard["templating"]["list"]) {
      if (variable["type"] != "query") continue;
      // label_values(SERIES, LABEL)
      const std::string query = variable["query"]["query"];
      const size_t open = query.find('('), comma = query.find(',');
      queries[absl::StrCat(entry.path().stem().string(), " / $",
                           variable["name"].get<std::string>())] =
          query.substr(open + 1, comma - open - 1);
    }
  }
  return queries;
}

Queries RuleQueries(const json& groups) {
  Queries queries;
  for (const json& group : groups) {
    for (const json& rule : group["rules"]) {
      const std::string name = rule["name"], expression = rule["query"];
      EXPECT_NE(rule["health"], "err") << name << ": " << rule.value("lastError", "");
      if (rule["type"] == "recording") {
        queries["rule " + name] = name;
        continue;
      }
      // All is well, so that the alert itself says nothing.
      for (const std::string& selector : Selectors(expression))
        queries[absl::StrCat("alert ", name, " / ", selector)] = selector;
    }
  }
  return queries;
}

class MonitoringTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("SEER_DEVICE_PEAK_FLOPS", "1e12", 1); }
  static void TearDownTestSuite() { ::unsetenv("SEER_DEVICE_PEAK_FLOPS"); }

  void Expect(const std::string& arguments) {
    const Result result = cluster_.Seer(arguments);
    ASSERT_EQ(result.code, 0) << arguments << ": " << result.out;
  }
  // Small images are refused; one of the large ones is taken down.
  void MakePickyPool() {
    testing::WriteLabelledFolder(cluster_.root() / "large", 1, 6, 40);
    Expect("pool create picky --min-side 32");
    Expect(absl::StrCat("pool ingest picky ", (cluster_.root() / "images").string(), " ",
                        (cluster_.root() / "large").string()));
    const std::string ids = (cluster_.root() / "ids.txt").string();
    ASSERT_EQ(Shell(absl::StrCat("sha256sum $(find ", (cluster_.root() / "large").string(),
                                 " -name '*.png' | head -n 1) | cut -d' ' -f1 >", ids))
                  .code,
              0);
    Expect(absl::StrCat("pool takedown picky --ids ", ids, " --reason 'a test' --yes"));
  }
  // What the agent serves.
  std::string Page(const std::string& worker) const {
    const std::string ports = ReadAll(cluster_.home() / "run" / (worker + ".ports"));
    HttpClient client;
    HttpRequest request;
    request.url = absl::StrCat(
        "http://127.0.0.1:", absl::StripAsciiWhitespace(ports.substr(ports.find(' '))), "/metrics");
    const auto page = client.Do(request);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? page->body : "";
  }
  Cluster cluster_;
};

TEST_F(MonitoringTest, EveryQueryHasAnAnswer) {
  const Result up = cluster_.Up("--workers 2");
  ASSERT_EQ(up.code, 0) << up.out;
  const Result targets = Shell(absl::StrCat((Source() / "deploy/prometheus/local-targets").string(),
                                            " ", cluster_.home().string(), " >",
                                            (cluster_.root() / "targets.json").string()));
  ASSERT_EQ(targets.code, 0) << targets.out;
  const Prometheus prometheus(cluster_.root());
  cluster_.AddDigits();
  MakePickyPool();
  Expect("queue create vision --quota 4");
  const std::string job = cluster_.Submit(
      "--name watched --set optim.steps=1000000 --set checkpoint.everySteps=20 --set "
      "loss.swav.queueLength=32");
  cluster_.Submit("--name waits");  // no device is left
  cluster_.Submit("--name stuck --set 'scheduling.workerSelector={gpu: none}'");
  WaitFor([&] { return cluster_.Step(job) >= 20; });
  WaitFor([&] { return !prometheus.Query("seer_train_step").empty(); });
  // An attempt that fails: after Prometheus has seen that there were none.
  KillNow(Cluster::TrainerOf(cluster_.Pid("worker-0")));

  Queries open = DashboardQueries(job);
  open.merge(RuleQueries(prometheus.Rules()));
  EXPECT_GT(open.size(), 150u);
  Queries excused;
  for (auto it = open.begin(); it != open.end();) {
    const auto next = std::next(it);
    if (Excuse(it->second)) excused.insert(open.extract(it));
    it = next;
  }
  const auto answered = [&](const std::string& expression) {
    return !prometheus.Query(expression).empty();
  };
  WaitFor(
      [&] {
        std::erase_if(open, [&](const auto& query) { return answered(query.second); });
        return open.empty();
      },
      150);
  for (const auto& [where, expression] : open)
    ADD_FAILURE() << where << " has no answer: " << expression;
  for (const auto& [where, expression] : excused) answered(expression);  // Prometheus takes it
  for (const auto& [name, why] : NotHere()) {
    if (name == "seer:storage_left:days") continue;
    EXPECT_FALSE(answered(name)) << name << " is there: take it off the list (" << why << ")";
  }
}

// Each rank's series are the job's and the rank's, whatever scraped them.
TEST_F(MonitoringTest, AnAgentServesTheSeriesOfItsRanks) {
  ASSERT_EQ(cluster_.Up("--workers 2").code, 0);
  cluster_.AddDigits();
  const std::string job =
      cluster_.Submit("--set optim.steps=1000000 --set checkpoint.everySteps=20");
  WaitFor([&] { return cluster_.Step(job) >= 2; });
  std::set<std::string> ranks;
  for (const char* worker : {"worker-0", "worker-1"}) {
    const std::string page = Page(worker);
    EXPECT_TRUE(absl::StrContains(page, "\nseer_worker_ranks 1\n")) << page;
    EXPECT_TRUE(absl::StrContains(page, "# TYPE seer_collective_seconds histogram\n")) << page;
    static const std::regex kStep("seer_train_step\\{job=\"(job_[a-z0-9]+)\",rank=\"([0-9])\"\\}");
    std::smatch found;
    ASSERT_TRUE(std::regex_search(page, found, kStep)) << page;
    EXPECT_EQ(found[1], job);
    ranks.insert(found[2]);
    // Series without labels of their own get the rank's.
    EXPECT_TRUE(std::regex_search(
        page, std::regex("seer_build_info\\{commit=\"[^\"]*\",job=\"job_[a-z0-9]+\",rank=")))
        << page;
  }
  EXPECT_EQ(ranks, (std::set<std::string>{"0", "1"}));
  EXPECT_EQ(cluster_.Seer("job cancel --yes " + job).code, 0);
  WaitFor([&] { return !absl::StrContains(Page("worker-0"), "seer_train_step"); });
}

}  // namespace
}  // namespace seer::e2e
