// Keeps the process alive when somebody cuts a file short that it has mapped: touching what is gone
// raises SIGBUS, and the guard's handler puts memory of the process's own in its place, so that the
// writer goes on, into nothing, until it asks. (libwayland guards its clients' buffers so, too.)
// Thread-safe.
#pragma once

#include <cstddef>

namespace seer {

class BusGuard {
 public:
  // Guards [begin, begin + bytes), a mapping of whole pages, until the destructor. At most 256 are
  // guarded at a time; `armed` is false for one more.
  BusGuard(void* begin, size_t bytes);
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;
  bool armed() const { return place_ >= 0; }
  bool hit() const;  // the file was cut short: the mapping has lost what was in it

 private:
  int place_ = -1;
};

}  // namespace seer
