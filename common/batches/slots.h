// Slots for the pixels of batches, in a file that a reader and a replica of the data service on the
// same machine both map (v1::SharedMemory). The reader makes a new file for each stream, so that no
// two replicas ever write into one. The replica takes a free slot and decodes into it; the message
// names it; the reader hands its bytes on and gives it back when they are released. The number of
// slots bounds what both hold.
//
// The file: a page with the slots' states, then the slots, each of whole pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/batches/bus_guard.h"
#include "seer/v1/batches.pb.h"

namespace seer {

inline constexpr char kSlotFolder[] = "/dev/shm";
inline constexpr int kMostSlots = 64;

// INVALID_ARGUMENT names the field: no name of a file of slots, too few or many slots, or slots too
// small for the pixels of a batch.
absl::Status CheckSharedMemory(const v1::SharedMemory& request, int64_t batch_bytes);

// Memory of a batch's pixels.
struct BatchMemory {
  std::shared_ptr<uint8_t> pixels;  // null: there is none now
  int slot = 0;                     // of a file; 0: it is the process's own
};

// The mapping of either side.
class SlotMapping {
 public:
  SlotMapping(void* memory, const v1::SharedMemory& request);
  ~SlotMapping();
  SlotMapping(const SlotMapping&) = delete;
  SlotMapping& operator=(const SlotMapping&) = delete;
  static size_t BytesOf(const v1::SharedMemory& request);  // of the file

  struct Header;
  Header& header() const { return *static_cast<Header*>(memory_); }
  int slots() const { return slots_; }
  size_t bytes() const { return bytes_; }
  uint8_t* slot(int number) const;  // from 1

 private:
  void* const memory_;
  const size_t bytes_;
  const int slots_;
  const size_t slot_pages_bytes_;
};

// The reader's side. Thread-safe.
class SlotFile : public std::enable_shared_from_this<SlotFile> {
 public:
  // A file of mode 0600 in `folder`, all of whose memory is there. Also removes files that readers
  // of this user left when they were killed before a replica had answered. RESOURCE_EXHAUSTED: the
  // folder has not so much room. NOT_FOUND: it is not there. FAILED_PRECONDITION: it cannot be used
  // so.
  static absl::StatusOr<std::shared_ptr<SlotFile>> Create(const std::string& folder, int slots,
                                                          int64_t slot_bytes);
  ~SlotFile();

  // For the replica. Valid until Unlink.
  const v1::SharedMemory& request() const { return request_; }
  // To be called once the replica has the file, or will not have it: from then on nothing is left
  // of it when the mappings end.
  void Unlink();

  // The bytes of a slot that the replica has filled. When the last copy is released the slot is the
  // replica's again. INTERNAL: there is no such slot, or it was not filled.
  absl::StatusOr<std::shared_ptr<const uint8_t>> Take(int slot);

 private:
  SlotFile(std::string path, int fd, v1::SharedMemory request, void* memory);
  void GiveBack(int slot);

  const std::string path_;
  int fd_;  // keeps the file's lock, which says that its reader lives; -1: unlinked
  const v1::SharedMemory request_;
  const SlotMapping mapping_;
};

// The replica's side. Not thread-safe, but for what it gave.
class SlotWriter : public std::enable_shared_from_this<SlotWriter> {
 public:
  // `request` has been checked. NOT_FOUND: the file is not on this machine. FAILED_PRECONDITION:
  // it is not a file of this user's alone, of that size, with all of its memory.
  static absl::StatusOr<std::shared_ptr<SlotWriter>> Open(const std::string& folder,
                                                          const v1::SharedMemory& request);

  // A free slot, from now on the replica's; null pixels: none is free. The mapping lives as long as
  // the memory.
  BatchMemory TryTake();
  // Returns when a slot has been given back, or after `most`.
  void WaitForFree(absl::Duration most) const;
  // The reader has cut its file short: what was written since is lost.
  bool cut_short() const { return guard_.hit(); }

 private:
  SlotWriter(void* memory, const v1::SharedMemory& request);

  const SlotMapping mapping_;
  const BusGuard guard_;  // after the mapping: it ends first
  int next_ = 0;          // where the search for a free one begins
  uint32_t seen_ = 0;     // of the header's given_back, before the last search
};

}  // namespace seer
