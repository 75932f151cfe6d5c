// What is logged may come from file names and other programs: a line stays one line, and JSON.
#include "common/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "common/base/log_sink.h"

namespace seer {
namespace {

std::string Logged(LogFormat format, const std::string& value) {
  InitLogging(format, LogLevel::kInfo, {{"process", "test"}});
  ::testing::internal::CaptureStderr();
  LogWarn("something_happened", {{"value", value}, {"count", 3}});
  std::string line = ::testing::internal::GetCapturedStderr();
  InitLogging(LogFormat::kText, LogLevel::kInfo, {});
  EXPECT_EQ(line.back(), '\n');
  line.pop_back();
  return line;
}

TEST(Log, AJsonLineStaysJsonWhateverItsFieldsHold) {
  std::string all;
  for (int c = 1; c < 0x80; ++c) all.push_back(static_cast<char>(c));
  for (const auto& [value, expected] :
       {std::pair(all, all),
        std::pair<std::string, std::string>("caf\xe9.jpg", "caf\xef\xbf\xbd.jpg"),
        std::pair<std::string, std::string>("\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd")}) {
    const std::string line = Logged(LogFormat::kJson, value);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(parsed.is_object()) << line;
    EXPECT_EQ(parsed["value"].get<std::string>(), expected);
    EXPECT_EQ(parsed["process"].get<std::string>(), "test");
    EXPECT_EQ(parsed["event"].get<std::string>(), "something_happened");
  }
}

TEST(Log, ATextLineCarriesNoControlCharacters) {
  const std::string line = Logged(LogFormat::kText, "a\rb\x1b[2J\x7f\n2026 error forged");
  for (const unsigned char c : line) EXPECT_GE(c, 0x20) << line;
  EXPECT_EQ(line.find('\x7f'), std::string::npos);
  EXPECT_NE(line.find("value=\"a\\rb\\u001b[2J"), std::string::npos) << line;
  EXPECT_NE(Logged(LogFormat::kText, "plain").find("value=plain count=3"), std::string::npos);
}

TEST(Log, ASinkGetsEachLineThatIsPrintedUntilItIsTakenAway) {
  class Lines final : public LogSink {
   public:
    void Take(absl::Time time, LogLevel level, absl::string_view event, const LogFields& common,
              std::initializer_list<LogField> fields) override {
      EXPECT_GT(time, absl::UnixEpoch());
      lines.push_back(absl::StrCat(static_cast<int>(level), " ", event, " ", common.size()));
      for (const LogField& field : fields)
        absl::StrAppend(&lines.back(), " ", field.key(), "=", field.value());
    }
    std::vector<std::string> lines;
  } sink;
  InitLogging(LogFormat::kText, LogLevel::kInfo, {{"process", "test"}});
  SetLogSink(&sink);
  LogDebug("not_printed");
  LogWarn("careful", {{"what", "ice"}, {"depth", 3}});
  SetLogSink(nullptr);
  LogWarn("later");
  InitLogging(LogFormat::kText, LogLevel::kInfo, {});
  EXPECT_THAT(sink.lines, ::testing::ElementsAre("2 careful 1 what=ice depth=3"));
}

}  // namespace
}  // namespace seer
