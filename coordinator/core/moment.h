// Now, by both clocks.
#pragma once

#include "absl/time/time.h"

namespace seer::coordinator {

struct Moment {
  absl::Time wall;        // for records
  absl::Duration steady;  // for deadlines
};

}  // namespace seer::coordinator
