// How a trainer process ends: its agent passes the code on, the coordinator decides by it
// (coordinator/core/retry).
#pragma once

namespace seer {

inline constexpr int kExitDone = 0;
inline constexpr int kExitPaused = 10;     // asked to stop, checkpoint written
inline constexpr int kExitUserError = 11;  // the spec cannot be run: never retried
inline constexpr int kExitData = 12;       // too many bad images, or the pool is gone: not retried
inline constexpr int kExitOutOfMemory = 13;
inline constexpr int kExitCollective = 14;  // a peer died or the network failed: retried
inline constexpr int kExitStorage = 15;     // checkpoint could not be written or read: retried
inline constexpr int kExitStale = 16;       // a newer attempt exists: nothing to do
inline constexpr int kExitInternal = 17;
inline constexpr int kExitNonFinite = 18;  // too many refused steps, policy FAIL: not retried
inline constexpr int kExitRollBack = 19;   // too many refused steps, policy ROLL_BACK: retried

}  // namespace seer
