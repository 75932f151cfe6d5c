// What flags take, what their help says of it, and what they answer to anything else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "common/flags/choice.h"
#include "common/flags/duration_flag.h"
#include "common/flags/log_format_flag.h"
#include "common/flags/number.h"

namespace seer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The error; empty: it was taken.
std::string Parse(CLI::App& app, const std::string& line) {
  try {
    app.parse(line);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

TEST(Choice, TakesItsWordsAlone) {
  CLI::App app;
  int form = 0;
  std::string word = "skip";
  AddChoice<int>(app, "-o,--output", form, {{"table", 1}, {"json", 2}}, "Form");
  AddWord(app, "--overlap", word, {"skip", "allow"}, "What then");
  EXPECT_EQ(Parse(app, "-o json --overlap allow"), "");
  EXPECT_EQ(form, 2);
  EXPECT_EQ(word, "allow");
  EXPECT_EQ(Parse(app, "--output xml"), "-o: 'xml' is not one of table, json");
  EXPECT_EQ(Parse(app, "--overlap 2"), "--overlap: '2' is not one of skip, allow");
  EXPECT_THAT(app.help(), AllOf(HasSubstr("table|json"), HasSubstr("skip|allow"),
                                Not(HasSubstr("->")), Not(HasSubstr("{"))));
}

TEST(Choice, LogFormats) {
  CLI::App app;
  LogFormat format = LogFormat::kText;
  AddLogFormatFlag(app, format);
  EXPECT_EQ(Parse(app, "--log-format json"), "");
  EXPECT_EQ(format, LogFormat::kJson);
  EXPECT_EQ(Parse(app, "--log-format yaml"), "--log-format: 'yaml' is not one of text, json");
}

TEST(Duration, ABadOneIsNamedWithItsFlagAndTheFormat) {
  CLI::App app;
  absl::Duration keep;
  AddDuration(app, "--keep-jobs", keep, "How long");
  EXPECT_EQ(Parse(app, "--keep-jobs 90d"), "");
  EXPECT_EQ(keep, absl::Hours(24 * 90));
  EXPECT_EQ(Parse(app, "--keep-jobs 5x"),
            "--keep-jobs: '5x' is not a duration; write a number and its unit, such as 90s, 5m, "
            "36h or 7d");
  EXPECT_THAT(Parse(app, "--keep-jobs 0s"), HasSubstr("--keep-jobs: '0s' is not above zero"));
}

TEST(AtLeast, SaysTheLimitInWords) {
  CLI::App app;
  int limit = 0;
  std::optional<int64_t> tail;
  app.add_option("-n,--limit", limit)->check(AtLeast(1));
  app.add_option("--tail", tail)->check(AtLeast(0));
  EXPECT_EQ(Parse(app, "--limit 3 --tail 0"), "");
  EXPECT_EQ(Parse(app, "--limit 0"), "--limit: '0' is not a whole number of at least 1");
  EXPECT_EQ(Parse(app, "--tail x"), "--tail: 'x' is not a whole number of at least 0");
  EXPECT_EQ(Parse(app, "--tail=-1"), "--tail: '-1' is not a whole number of at least 0");
}

}  // namespace
}  // namespace seer
