// How a trainer process ends: the agent passes the code on, the coordinator decides by it. One
// place.
#pragma once

namespace seer::worker {

inline constexpr int kExitDone = 0;
inline constexpr int kExitPaused = 10;     // asked to stop, checkpoint written
inline constexpr int kExitUserError = 11;  // the spec cannot be run: never retried
inline constexpr int kExitData =
    12;  // the data stream failed (too many bad images, pool gone): not retried
inline constexpr int kExitOutOfMemory = 13;
inline constexpr int kExitCollective = 14;  // a peer died or the network failed: retried
inline constexpr int kExitStorage = 15;     // checkpoint could not be written or read: retried
inline constexpr int kExitStale = 16;       // a newer attempt exists: nothing to do
inline constexpr int kExitInternal = 17;

}  // namespace seer::worker
