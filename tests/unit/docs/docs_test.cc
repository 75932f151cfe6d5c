// The docs against the sources they speak of: names of metrics, reasons, links.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace seer {
namespace {

namespace fs = std::filesystem;

fs::path Source() {
  const char* folder = std::getenv("SEER_SOURCE_DIR");  // set by ctest
  return folder == nullptr ? fs::path() : fs::path(folder);
}

std::string ReadAll(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<std::string> Lines(const fs::path& path) {
  std::vector<std::string> lines;
  std::stringstream text(ReadAll(path));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

// Whole string literals that are names of series: "seer_train_loss". Prose in messages is not.
std::set<std::string> DeclaredMetrics() {
  static const std::regex kName("\"(seer_[a-z0-9_]+)\"");
  std::set<std::string> names;
  for (const char* part : {"client", "common", "coordinator", "dataservice", "engine", "worker"}) {
    for (const auto& entry : fs::recursive_directory_iterator(Source() / part)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      const std::string text = ReadAll(entry.path());
      for (std::sregex_iterator it(text.begin(), text.end(), kName), end; it != end; ++it)
        names.insert((*it)[1]);
    }
  }
  return names;
}

// Rows "| `seer_x` | type | labels | what |" of docs/metrics.md: name -> types. A name may have one
// row a process.
std::map<std::string, std::set<std::string>> DocumentedMetrics() {
  static const std::regex kRow(R"(^\| `(seer_[a-z0-9_]+)` \| ([a-z]+) \| [^|]+ \| [^|]+ \|$)");
  std::map<std::string, std::set<std::string>> names;
  for (const std::string& line : Lines(Source() / "docs/metrics.md")) {
    std::smatch row;
    if (std::regex_match(line, row, kRow)) {
      names[row[1]].insert(row[2]);
    } else {
      EXPECT_NE(line.rfind("| `seer_", 0), 0u) << "not a whole row: " << line;
    }
  }
  return names;
}

TEST(DocsTest, EverySeriesIsDocumentedAndNoOther) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  std::set<std::string> documented;
  for (const auto& [name, types] : DocumentedMetrics()) documented.insert(name);
  EXPECT_GT(documented.size(), 40u);
  EXPECT_EQ(documented, DeclaredMetrics());
}

TEST(DocsTest, CountersAndOnlyTheyEndInTotal) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  for (const auto& [name, types] : DocumentedMetrics()) {
    ASSERT_EQ(types.size(), 1u) << name << " has two types";
    EXPECT_THAT(*types.begin(), testing::AnyOf("counter", "gauge", "histogram")) << name;
    EXPECT_EQ(*types.begin() == "counter", name.ends_with("_total")) << name;
  }
}

// Names in a text that asks Prometheus, as those of histograms are without their ends.
std::set<std::string> AskedMetrics(const std::string& text) {
  static const std::regex kName("\\b(seer_[a-z0-9_]+?)(_bucket|_sum|_count)?\\b");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), kName), end; it != end; ++it)
    names.insert((*it)[1]);
  return names;
}

TEST(DocsTest, RulesAndDashboardsAskForDocumentedSeries) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  const auto documented = DocumentedMetrics();
  std::set<std::string> asked;
  for (const char* folder : {"deploy/prometheus/rules", "deploy/grafana/dashboards"})
    for (const auto& entry : fs::directory_iterator(Source() / folder))
      asked.merge(AskedMetrics(ReadAll(entry.path())));
  EXPECT_GT(asked.size(), 50u);
  for (const std::string& name : asked)
    EXPECT_TRUE(documented.contains(name)) << name;
}

TEST(DocsTest, EveryAlertHasARunBookAndNoOtherIsThere) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  static const std::regex kAlert(R"(- alert: (\w+))"),
      kUrl(R"(runbook_url: docs/runbooks\.md#(\w+))"), kHeading(R"(\n## (\w+)\n)");
  const auto all = [](const std::string& text, const std::regex& pattern) {
    std::vector<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
      found.push_back((*it)[1]);
    return found;
  };
  const std::string rules = ReadAll(Source() / "deploy/prometheus/rules/alerts.yml");
  std::vector<std::string> alerts = all(rules, kAlert);
  EXPECT_GT(alerts.size(), 20u);
  std::vector<std::string> anchors;
  for (const std::string& alert : alerts) {
    std::string& anchor = anchors.emplace_back(alert);
    std::transform(anchor.begin(), anchor.end(), anchor.begin(),
                   [](unsigned char c) { return std::tolower(c); });
  }
  EXPECT_EQ(all(rules, kUrl), anchors);
  EXPECT_THAT(all(ReadAll(Source() / "docs/runbooks.md"), kHeading),
              testing::UnorderedElementsAreArray(alerts));
}

// That the reasons are all there is error_test's to say.
TEST(DocsTest, EveryReasonSaysItsCodeAndWhatToDo) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  static const std::regex kLine(
      "^- `[A-Z_]+` ([A-Z_]{7,}.* exit [0-9]+.*|[A-Z_]{7,}, quarantine|state of a job)\\. .{20,}");
  int reasons = 0;
  for (const std::string& line : Lines(Source() / "docs/errors.md")) {
    if (line.rfind("- `", 0) != 0) continue;
    ++reasons;
    EXPECT_TRUE(std::regex_match(line, kLine)) << line;
  }
  EXPECT_GT(reasons, 40);
}

TEST(DocsTest, LinksLeadToFiles) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  static const std::regex kLink(R"(\]\(([^)#]+)[^)]*\))");
  std::vector<fs::path> pages = {Source() / "README.md", Source() / "CONTRIBUTING.md"};
  for (const auto& entry : fs::directory_iterator(Source() / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  int links = 0;
  for (const fs::path& page : pages) {
    const std::string text = ReadAll(page);
    for (std::sregex_iterator it(text.begin(), text.end(), kLink), end; it != end; ++it) {
      const std::string target = (*it)[1];
      if (target.find("://") != std::string::npos) continue;
      ++links;
      EXPECT_TRUE(fs::exists(page.parent_path() / target)) << page << " links to " << target;
    }
  }
  EXPECT_GT(links, 15);
}

TEST(DocsTest, TheIndexNamesEveryPage) {
  ASSERT_FALSE(Source().empty()) << "run by ctest";
  const std::string index = ReadAll(Source() / "docs/README.md");
  for (const auto& entry : fs::directory_iterator(Source() / "docs")) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".md" || name == "README.md") continue;
    EXPECT_THAT(index, testing::HasSubstr("(" + name + ")"));
  }
}

}  // namespace
}  // namespace seer
