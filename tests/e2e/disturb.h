// What the library of disturb.cc, preloaded into a program, does to it: both sides map a file that
// holds this.
#pragma once

#include <cstdint>

namespace seer::e2e {

struct Disturbance {
  int64_t clock_offset_ns = 0;  // added to what the wall clock says
  int64_t sync_delay_ns = 0;    // that a disk takes longer to make something durable
};
inline constexpr const char* kDisturbVariable = "SEER_DISTURB";  // path of that file

}  // namespace seer::e2e
