// The dashboard in a browser and `seer top` on a terminal, against a real coordinator whose job
// trains on two ranks; and the commands of docs/api.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/terminal.h"

namespace seer::e2e {
namespace {

using ::testing::HasSubstr;

class DashboardTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new Cluster();
    const Result up = cluster_->Up("--workers 2");
    ASSERT_EQ(up.code, 0) << up.out;
    for (const auto& line : absl::StrSplit(up.out, '\n'))
      if (absl::StartsWith(line, "dashboard ")) url_ = new std::string(line.substr(10));
    ASSERT_TRUE(url_ != nullptr) << up.out;
    cluster_->AddDigits();
    job_ = new std::string(cluster_->Submit(
        "--set metadata.name=shown --set optim.steps=1000000 --set checkpoint.everySteps=1000"));
    WaitFor([] { return cluster_->Step(*job_) > 20; });
  }
  static void TearDownTestSuite() {
    cluster_->Seer(absl::StrCat("job cancel --yes ", *job_));
    delete cluster_;
    delete url_;
    delete job_;
  }
  // With what the command line goes by.
  static Result Run(const std::string& command) {
    std::string text = absl::StrCat("export PATH=", Bin().string(),
                                    ":$PATH SEER_HTTP=", url_->substr(0, url_->size() - 1), "; cd ",
                                    cluster_->root().string(), "; ");
    absl::StrAppend(&text, "export SEER_GRPC=127.0.0.1:", cluster_->Port("coordinator"), "; ");
    for (const auto& [name, value] : cluster_->environment())
      if (!value.empty()) absl::StrAppend(&text, "export ", name, "='", value, "'; ");
    return Shell(text + command);
  }

  static inline Cluster* cluster_ = nullptr;
  static inline std::string* url_ = nullptr;
  static inline std::string* job_ = nullptr;
};

// `seer top` as a person uses it.
TEST_F(DashboardTest, TopShowsTheClusterAndTakesKeys) {
  Terminal top({(Bin() / "seer").string(), "top"}, cluster_->environment());
  EXPECT_TRUE(top.Expect("shown")) << top.text();
  EXPECT_TRUE(top.Expect("RUNNING")) << top.text();
  EXPECT_TRUE(top.Expect("worker-1")) << top.text();
  top.Type("\033[C");
  EXPECT_TRUE(top.Expect("STATE+")) << top.text();
  top.Type("r");
  EXPECT_TRUE(top.Expect("STATE-")) << top.text();
  top.Type("q");
  EXPECT_EQ(top.Wait(), 0) << top.text();
  EXPECT_THAT(top.text(), HasSubstr("\033[?1049l")) << "the terminal is as it was";
  const nlohmann::json once = cluster_->Json("top --once");
  ASSERT_TRUE(once.is_array() && once.size() == 1) << once;
  EXPECT_EQ(once[0]["spec"]["metadata"]["name"], "shown");
}

// Each block of commands, as it stands there.
TEST_F(DashboardTest, CommandsOfTheApiPageWork) {
  const std::string page = ReadAll(Source() / "docs/api.md");
  const std::vector<std::string> parts = absl::StrSplit(page, "\n```");
  int blocks = 0;
  for (size_t i = 1; i < parts.size(); i += 2) {
    const size_t line = parts[i].find('\n');
    const std::string language = parts[i].substr(0, line);
    if (language != "sh" && language != "python") continue;
    ++blocks;
    const std::string body = parts[i].substr(line + 1);
    const std::string file = (cluster_->root() / "block").string();
    std::ofstream(file) << body << "\n";
    const Result result =
        Run(language == "sh" ? absl::StrCat("timeout 60 bash -euo pipefail ", file)
                             : absl::StrCat("timeout 60 " SEER_DEPS "/bin/python ", file));
    EXPECT_EQ(result.code, 0) << body << "\n" << result.out;
    EXPECT_FALSE(result.out.empty()) << body;
  }
  EXPECT_GT(blocks, 5);
}

TEST_F(DashboardTest, TheOpenApiDocumentIsValid) {
  const Result result =
      Run("seer api openapi > openapi.json && " SEER_DEPS
          "/bin/python -c 'import json; from openapi_spec_validator import validate; "
          "validate(json.load(open(\"openapi.json\"))); print(\"valid\")'");
  EXPECT_EQ(result.out, "valid\n");
}

// Last: it kills the coordinator.
TEST_F(DashboardTest, WorksInABrowser) {
  const char* keep = std::getenv("SEER_SCREENSHOTS");  // a folder; else they go with the test's own
  const Result result =
      Run(absl::StrCat("python3 -B ", (Source() / "tests/e2e/browse_dashboard.py").string(), " ",
                       *url_, " ", *job_, " shown ", cluster_->Pid("coordinator"), " ",
                       keep != nullptr ? std::string(keep) : cluster_->root().string(),
                       " bash -c 'seer cluster up --workers 2 && seer job pause ", *job_, "'"));
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_THAT(result.out, HasSubstr("the dashboard works"));
}

}  // namespace
}  // namespace seer::e2e
