// Times of day as crontab(5) writes them, in UTC: minute, hour, day of the month, month, day of the
// week. A value. Where neither day begins with '*', one of the two must fit.
#pragma once

#include <bitset>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace seer::coordinator {

class Cron {
 public:
  // Each field is '*', or numbers, ranges "1-5" and steps "*/15", "8-18/2", with commas in between;
  // months and days of the week also "jan" to "dec", "sun" to "sat"; both 0 and 7 are Sunday. Or
  // "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually".
  // INVALID_ARGUMENT: names the field; also of a time that never comes, as 30 February.
  static absl::StatusOr<Cron> Parse(absl::string_view text);

  // The first time after `after`, a whole minute; infinite: none in 9 years.
  absl::Time Next(absl::Time after) const;
  // The last time after `after`, and not after `now`: of several that were missed, one.
  std::optional<absl::Time> LastDue(absl::Time after, absl::Time now) const;

 private:
  bool DayFits(absl::CivilDay day) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<8> weekdays_;  // 0: Sunday
  bool any_day_ = false, any_weekday_ = false;
};

}  // namespace seer::coordinator
