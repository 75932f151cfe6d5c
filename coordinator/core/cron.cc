#include "coordinator/core/cron.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::coordinator {
namespace {

// 29 February may be 8 years away, around a century.
constexpr int kSearchedDays = 9 * 366;

struct Field {
  const char* name;
  int low, high;
  std::vector<std::string> names;  // of low, low + 1, ...
};

const std::vector<Field>& Fields() {
  static const auto& fields = *new std::vector<Field>{
      {"minute", 0, 59, {}},
      {"hour", 0, 23, {}},
      {"day of the month", 1, 31, {}},
      {"month",
       1,
       12,
       {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
      {"day of the week", 0, 7, {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}};
  return fields;
}

constexpr std::pair<const char*, const char*> kShort[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

absl::Status Wrong(absl::string_view text, const std::string& why) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat("'", text, "' is no time: ", why))
      .Field("cron")
      .Hint(
          "write minute, hour, day of the month, month and day of the week in UTC, as \"0 3 * * "
          "1-5\", or @hourly, @daily, @weekly, @monthly");
}

absl::StatusOr<int> ReadNumber(absl::string_view text, const Field& field) {
  int value = 0;
  if (std::all_of(text.begin(), text.end(),
                  [](unsigned char c) { return absl::ascii_isdigit(c); }) &&
      !text.empty() && text.size() <= 4 && absl::SimpleAtoi(text, &value)) {
    if (value >= field.low && value <= field.high) return value;
    return absl::InvalidArgumentError(absl::StrCat("the ", field.name, " ", text, " is not from ",
                                                   field.low, " to ", field.high));
  }
  const std::string lower = absl::AsciiStrToLower(text);
  const auto it = std::find(field.names.begin(), field.names.end(), lower);
  if (it != field.names.end()) return field.low + static_cast<int>(it - field.names.begin());
  return absl::InvalidArgumentError(absl::StrCat(
      "the ", field.name, " '", text, "' is no number",
      field.names.empty() ? "" : absl::StrCat(", nor one of ", absl::StrJoin(field.names, ", "))));
}

// "*", "5", "1-5", "*/2", "1-9/2".
absl::StatusOr<std::vector<int>> ReadPart(absl::string_view text, const Field& field) {
  const std::vector<absl::string_view> step = absl::StrSplit(text, '/');
  int by = 1;
  if (step.size() > 2) return absl::InvalidArgumentError(absl::StrCat("two steps in '", text, "'"));
  if (step.size() == 2 && (step[1].size() > 4 || !absl::SimpleAtoi(step[1], &by) || by < 1 ||
                           !absl::ascii_isdigit(static_cast<unsigned char>(step[1][0])))) {
    return absl::InvalidArgumentError(
        absl::StrCat("the step '", step[1], "' of the ", field.name, " is not at least 1"));
  }
  int low = field.low, high = field.high;
  if (step[0] != "*") {
    const std::vector<absl::string_view> ends = absl::StrSplit(step[0], '-');
    if (ends.size() > 2)
      return absl::InvalidArgumentError(absl::StrCat("two ranges in '", text, "'"));
    SEER_ASSIGN_OR_RETURN(low, ReadNumber(ends[0], field));
    high = low;
    if (ends.size() == 2) {
      SEER_ASSIGN_OR_RETURN(high, ReadNumber(ends[1], field));
    } else if (step.size() == 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the step in '", text, "' needs a range: ", text, " -> ", low, "-", field.high, "/", by));
    }
    if (high < low)
      return absl::InvalidArgumentError(
          absl::StrCat("the range '", step[0], "' of the ", field.name, " ends before it begins"));
  }
  std::vector<int> values;
  for (int value = low; value <= high; value += by) values.push_back(value);
  return values;
}

template <size_t kSize>
absl::Status ReadField(absl::string_view text, const Field& field, std::bitset<kSize>& out) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    SEER_ASSIGN_OR_RETURN(const std::vector<int> values, ReadPart(part, field));
    for (const int value : values) out.set(static_cast<size_t>(value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Cron> Cron::Parse(absl::string_view text) {
  absl::string_view full = absl::StripAsciiWhitespace(text);
  for (const auto& [name, meaning] : kShort)
    if (absl::EqualsIgnoreCase(full, name)) full = meaning;
  if (absl::StartsWith(full, "@")) return Wrong(text, "there is no such word");
  const std::vector<absl::string_view> parts =
      absl::StrSplit(full, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (parts.size() != 5)
    return Wrong(text, absl::StrCat("it has ", parts.size(), " fields, not 5"));
  Cron cron;
  const std::vector<Field>& fields = Fields();
  for (const absl::Status& status :
       {ReadField(parts[0], fields[0], cron.minutes_), ReadField(parts[1], fields[1], cron.hours_),
        ReadField(parts[2], fields[2], cron.days_), ReadField(parts[3], fields[3], cron.months_),
        ReadField(parts[4], fields[4], cron.weekdays_)}) {
    if (!status.ok()) return Wrong(text, std::string(status.message()));
  }
  if (cron.weekdays_[7]) cron.weekdays_.set(0);
  cron.any_day_ = absl::StartsWith(parts[2], "*");
  cron.any_weekday_ = absl::StartsWith(parts[4], "*");
  if (cron.Next(absl::UnixEpoch()) == absl::InfiniteFuture())
    return Wrong(text, "that day never comes");
  return cron;
}

bool Cron::DayFits(absl::CivilDay day) const {
  const auto weekday = static_cast<size_t>((static_cast<int>(absl::GetWeekday(day)) + 1) % 7);
  const bool by_day = days_[static_cast<size_t>(day.day())], by_weekday = weekdays_[weekday];
  return any_day_ || any_weekday_ ? by_day && by_weekday : by_day || by_weekday;
}

absl::Time Cron::Next(absl::Time after) const {
  const absl::TimeZone utc = absl::UTCTimeZone();
  absl::CivilMinute from = absl::ToCivilMinute(after, utc) + 1;
  const absl::CivilDay last = absl::CivilDay(from) + kSearchedDays;
  for (absl::CivilDay day(from); day <= last; ++day) {
    if (!months_[static_cast<size_t>(day.month())]) {
      day = absl::CivilDay(absl::CivilMonth(day) + 1) - 1;
      continue;
    }
    if (!DayFits(day)) continue;
    const bool first = day == absl::CivilDay(from);
    for (int hour = first ? from.hour() : 0; hour < 24; ++hour) {
      if (!hours_[static_cast<size_t>(hour)]) continue;
      for (int minute = first && hour == from.hour() ? from.minute() : 0; minute < 60; ++minute) {
        if (minutes_[static_cast<size_t>(minute)])
          return absl::FromCivil(
              absl::CivilMinute(day.year(), day.month(), day.day(), hour, minute), utc);
      }
    }
  }
  return absl::InfiniteFuture();
}

std::optional<absl::Time> Cron::LastDue(absl::Time after, absl::Time now) const {
  // After a long stop of a schedule that comes every minute not all of its times are gone through.
  for (const absl::Duration back : {absl::Hours(1), absl::Hours(24), absl::Hours(24) * 32,
                                    absl::Hours(24) * 366, absl::Hours(24) * kSearchedDays}) {
    const absl::Time from = std::max(after, now - back);
    absl::Time time = Next(from);
    if (time > now && from == after) return std::nullopt;
    if (time > now) continue;
    for (absl::Time next = Next(time); next <= now; next = Next(time)) time = next;
    return time;
  }
  return std::nullopt;
}

}  // namespace seer::coordinator
