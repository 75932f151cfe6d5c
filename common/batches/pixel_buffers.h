// Memory for the pixels of batches, used again: for pieces of this size the C library asks the
// kernel anew each time, and clearing the pages costs as much as filling them. Thread-safe; what it
// gave may outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace seer {

class PixelBuffers {
 public:
  PixelBuffers();

  // Not cleared. What is released is kept for the next call, at most kSpare pieces.
  std::shared_ptr<uint8_t> Take(size_t bytes);

 private:
  static constexpr size_t kSpare = 4;
  struct Spare;
  const std::shared_ptr<Spare> spare_;
};

}  // namespace seer
