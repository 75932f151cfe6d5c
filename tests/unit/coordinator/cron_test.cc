#include "coordinator/core/cron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/status_matchers.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using testing::FailsWith;

absl::Time At(const std::string& text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime("%Y-%m-%d %H:%M:%E*S", text.size() == 16 ? text + ":00" : text,
                              absl::UTCTimeZone(), &time, &error))
      << error;
  return time;
}
std::string Text(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", time, absl::UTCTimeZone());
}
std::vector<std::string> Times(const std::string& cron, const std::string& after, int count) {
  const auto parsed = Cron::Parse(cron);
  EXPECT_OK(parsed);
  std::vector<std::string> times;
  absl::Time time = At(after);
  for (int i = 0; i < count && parsed.ok(); ++i) times.push_back(Text(time = parsed->Next(time)));
  return times;
}
absl::Status Refusal(const std::string& cron) { return Cron::Parse(cron).status(); }

TEST(Cron, EveryMinuteIsTheNextWholeOne) {
  EXPECT_THAT(Times("* * * * *", "2026-11-26 09:17", 2),
              ElementsAre("2026-11-26 09:18", "2026-11-26 09:19"));
  EXPECT_THAT(Times("* * * * *", "2026-11-26 09:17:59", 1), ElementsAre("2026-11-26 09:18"));
  EXPECT_THAT(Times("* * * * *", "2026-12-31 23:59", 1), ElementsAre("2027-01-01 00:00"));
}

TEST(Cron, TakesListsRangesAndSteps) {
  EXPECT_THAT(
      Times("0,30 8-10/2 * * *", "2026-11-26 08:15", 4),
      ElementsAre("2026-11-26 08:30", "2026-11-26 10:00", "2026-11-26 10:30", "2026-11-27 08:00"));
  EXPECT_THAT(
      Times("*/25 * * * *", "2026-11-26 08:00", 4),
      ElementsAre("2026-11-26 08:25", "2026-11-26 08:50", "2026-11-26 09:00", "2026-11-26 09:25"));
  EXPECT_THAT(Times("5-7,59 23 * * *", "2026-11-26 23:06", 2),
              ElementsAre("2026-11-26 23:07", "2026-11-26 23:59"));
}

TEST(Cron, TakesNamesInAnyCase) {
  EXPECT_THAT(Times("0 3 * * Mon-FRI", "2026-11-27 12:00", 2),  // a Friday
              ElementsAre("2026-11-30 03:00", "2026-12-01 03:00"));
  EXPECT_THAT(Times("0 0 1 jan,Jul *", "2026-11-27 12:00", 2),
              ElementsAre("2027-01-01 00:00", "2027-07-01 00:00"));
}

TEST(Cron, BothZeroAndSevenAreSunday) {
  for (const char* cron : {"0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "@weekly"})
    EXPECT_THAT(Times(cron, "2026-11-26 09:00", 2),
                ElementsAre("2026-11-29 00:00", "2026-12-06 00:00"))
        << cron;
  EXPECT_THAT(
      Times("0 0 * * 5-7", "2026-11-26 09:00", 4),
      ElementsAre("2026-11-27 00:00", "2026-11-28 00:00", "2026-11-29 00:00", "2026-12-04 00:00"));
}

TEST(Cron, OfTwoRestrictedDaysOneMustFit) {
  // The 13th, and every Friday.
  EXPECT_THAT(
      Times("0 0 13 * 5", "2026-11-09 00:00", 4),
      ElementsAre("2026-11-13 00:00", "2026-11-20 00:00", "2026-11-27 00:00", "2026-12-04 00:00"));
  EXPECT_THAT(Times("0 0 13 * 5", "2026-12-11 00:00", 1), ElementsAre("2026-12-13 00:00"));
  // With a star in one of them both must.
  EXPECT_THAT(Times("0 0 */2 * 5", "2026-11-09 00:00", 2),
              ElementsAre("2026-11-13 00:00", "2026-11-27 00:00"));
}

TEST(Cron, KnowsLeapYears) {
  EXPECT_THAT(Times("0 12 29 2 *", "2026-11-26 09:00", 2),
              ElementsAre("2028-02-29 12:00", "2032-02-29 12:00"));
  // 2100 is none.
  EXPECT_THAT(Times("0 12 29 2 *", "2096-03-01 00:00", 1), ElementsAre("2104-02-29 12:00"));
}

TEST(Cron, SkipsMonthsThatAreTooShort) {
  EXPECT_THAT(Times("0 0 31 * *", "2026-11-26 09:00", 3),
              ElementsAre("2026-12-31 00:00", "2027-01-31 00:00", "2027-03-31 00:00"));
}

TEST(Cron, HasWordsForTheUsualTimes) {
  EXPECT_THAT(Times("@hourly", "2026-11-26 09:17", 1), ElementsAre("2026-11-26 10:00"));
  EXPECT_THAT(Times("@daily", "2026-11-26 09:17", 1), ElementsAre("2026-11-27 00:00"));
  EXPECT_THAT(Times("@Midnight", "2026-11-26 09:17", 1), ElementsAre("2026-11-27 00:00"));
  EXPECT_THAT(Times("@monthly", "2026-11-26 09:17", 1), ElementsAre("2026-12-01 00:00"));
  EXPECT_THAT(Times(" @yearly ", "2026-11-26 09:17", 1), ElementsAre("2027-01-01 00:00"));
}

TEST(Cron, RefusesWhatIsNoTimeAndSaysWhere) {
  for (const auto& [cron, piece] : std::vector<std::pair<std::string, std::string>>{
           {"", "0 fields"},
           {"* * * *", "4 fields"},
           {"* * * * * *", "6 fields"},
           {"@reboot", "no such word"},
           {"60 * * * *", "the minute 60 is not from 0 to 59"},
           {"* 24 * * *", "the hour 24"},
           {"* * 0 * *", "the day of the month 0"},
           {"* * * 13 *", "the month 13"},
           {"* * * * 8", "the day of the week 8"},
           {"x * * * *", "the minute 'x' is no number"},
           {"* * * janu *", "one of jan, feb"},
           {"-1 * * * *", "the minute '' is no number"},
           {"+1 * * * *", "no number"},
           {"1-2-3 * * * *", "two ranges"},
           {"5-1 * * * *", "ends before it begins"},
           {"* * * * fri-mon", "ends before it begins"},
           {"*/0 * * * *", "not at least 1"},
           {"*/-1 * * * *", "not at least 1"},
           {"*/ * * * *", "not at least 1"},
           {"*/2/3 * * * *", "two steps"},
           {"5/15 * * * *", "needs a range: 5/15 -> 5-59/15"},
           {"1,,2 * * * *", "no number"},
           {"99999999999 * * * *", "no number"},
           {"0 0 30 2 *", "never comes"},
           {"0 0 31 apr,jun,9,11 *", "never comes"}}) {
    EXPECT_THAT(Refusal(cron),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, piece))
        << cron;
    EXPECT_FALSE(GetErrorDetail(Refusal(cron))->hint.empty());
  }
}

TEST(Cron, OfTimesThatWereMissedTheLastIsDue) {
  const Cron hourly = *Cron::Parse("0 * * * *");
  const auto due = [&](const char* after, const char* now) -> std::string {
    const auto time = hourly.LastDue(At(after), At(now));
    return time ? Text(*time) : "none";
  };
  EXPECT_EQ(due("2026-11-26 09:00", "2026-11-26 09:59:59"), "none");
  EXPECT_EQ(due("2026-11-26 09:00", "2026-11-26 10:00"), "2026-11-26 10:00");
  EXPECT_EQ(due("2026-11-26 09:00", "2026-11-26 13:30"), "2026-11-26 13:00");
  // The clock went back: nothing comes twice.
  EXPECT_EQ(due("2026-11-26 13:00", "2026-11-26 10:30"), "none");
  EXPECT_EQ(due("2026-11-26 13:00", "2026-11-26 13:30"), "none");
  EXPECT_EQ(due("2026-11-26 13:00", "2026-11-26 14:00"), "2026-11-26 14:00");
}

TEST(Cron, ALongStopIsGoneThroughQuickly) {
  const Cron often = *Cron::Parse("* * * * *"), rarely = *Cron::Parse("0 0 29 2 *"),
             yearly = *Cron::Parse("@yearly");
  const absl::Time since = At("2026-11-26 09:00"), now = At("2034-11-26 09:00");
  EXPECT_EQ(Text(*often.LastDue(since, now)), "2034-11-26 09:00");
  EXPECT_EQ(Text(*rarely.LastDue(since, now)), "2032-02-29 00:00");
  EXPECT_EQ(Text(*yearly.LastDue(since, now)), "2034-01-01 00:00");
  EXPECT_EQ(Text(*yearly.LastDue(absl::UnixEpoch(), now)), "2034-01-01 00:00");
}

// Against the plain rule: minute after minute.
TEST(Cron, AgreesWithGoingThroughTheMinutes) {
  for (const char* text : {"*/7 3-5 * * *", "0 0 1,15 * 3", "30 22 28-31 2,4 *", "1 1 * * 1"}) {
    const Cron cron = *Cron::Parse(text);
    absl::Time expected = At("2027-12-31 00:00");
    absl::Time time = expected;
    const absl::Time end = At("2028-03-05 00:00");
    std::vector<std::string> stepped, jumped;
    for (; time < end; time += absl::Minutes(1)) {
      if (cron.Next(time - absl::Minutes(1)) == time) stepped.push_back(Text(time));
    }
    for (time = cron.Next(expected - absl::Minutes(1)); time < end; time = cron.Next(time))
      jumped.push_back(Text(time));
    EXPECT_EQ(stepped, jumped) << text;
    EXPECT_FALSE(jumped.empty()) << text;
  }
}

}  // namespace
}  // namespace seer::coordinator
