#include "common/batches/slots.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

constexpr char kPrefix[] = "seer-batches-";
constexpr size_t kNameDigits = 32;
constexpr size_t kPage = 4096;
// Left alone, lock or not: its reader may be about to lock it.
constexpr absl::Duration kYoung = absl::Minutes(1);

enum SlotState : uint32_t {
  kFree = 0,
  kWritten = 1,  // the replica's
  kRead = 2,     // the reader's
};

absl::Status Failed(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string text = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC) return absl::ResourceExhaustedError(text);
  return error == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
}

bool IsName(absl::string_view name) {
  return absl::ConsumePrefix(&name, kPrefix) && name.size() == kNameDigits &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

size_t WholePages(int64_t bytes) {
  return (static_cast<size_t>(bytes) + kPage - 1) / kPage * kPage;
}

absl::StatusOr<std::string> NewName() {
  std::array<uint8_t, kNameDigits / 2> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return Failed("draw", "a name");
  return absl::StrCat(kPrefix, ToHex(absl::string_view(reinterpret_cast<const char*>(random.data()),
                                                       random.size())));
}

// Removes what readers of this user left that are not there any more: a reader holds its file's
// lock as long as the file has a name.
void Sweep(const std::string& folder) {
  DIR* const listing = opendir(folder.c_str());
  if (listing == nullptr) return;
  const absl::Cleanup close_listing = [&] { closedir(listing); };
  const int folder_fd = dirfd(listing);
  while (const dirent* entry = readdir(listing)) {
    if (!IsName(entry->d_name)) continue;
    const int fd = openat(folder_fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    struct stat found {};
    const bool old = fstat(fd, &found) == 0 && S_ISREG(found.st_mode) &&
                     found.st_uid == geteuid() &&
                     Clock::Real().Now() - absl::TimeFromTimespec(found.st_mtim) > kYoung;
    if (old && flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(folder_fd, entry->d_name, 0);
    close(fd);
  }
}

void* Map(int fd, size_t bytes) {
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
}

long Futex(const std::atomic<uint32_t>& word, int operation, uint32_t value,
           const timespec* timeout) {
  return syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0);
}

}  // namespace

// Shared with a process that may write anything into it: it is only ever read as numbers.
struct SlotMapping::Header {
  std::atomic<uint32_t> given_back;  // grows; the replica sleeps on it
  std::atomic<uint32_t> state[kMostSlots];
};

absl::Status CheckSharedMemory(const v1::SharedMemory& request, int64_t batch_bytes) {
  const auto refuse = [](absl::string_view field, absl::string_view what) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("the stream's shared memory: ", what))
        .Field(absl::StrCat("shared_memory.", field))
        .Hint("leave shared_memory out to have the pixels in the messages");
  };
  if (!IsName(request.name()))
    return refuse("name", absl::StrCat("its name must be ", kPrefix, " and 32 hexadecimal digits"));
  if (request.slots() < 1 || request.slots() > kMostSlots)
    return refuse("slots", absl::StrCat("it has ", request.slots(), " slots, not 1 to 64"));
  if (request.slot_bytes() < batch_bytes || request.slot_bytes() > int64_t{1} << 40) {
    return refuse("slot_bytes", absl::StrCat("its slots have ", request.slot_bytes(),
                                             " bytes, a batch ", batch_bytes));
  }
  return absl::OkStatus();
}

SlotMapping::SlotMapping(void* memory, const v1::SharedMemory& request)
    : memory_(memory),
      bytes_(BytesOf(request)),
      slots_(request.slots()),
      slot_pages_bytes_(WholePages(request.slot_bytes())) {
  static_assert(sizeof(Header) <= kPage && std::atomic<uint32_t>::is_always_lock_free);
}

SlotMapping::~SlotMapping() { munmap(memory_, bytes_); }

size_t SlotMapping::BytesOf(const v1::SharedMemory& request) {
  return kPage + static_cast<size_t>(request.slots()) * WholePages(request.slot_bytes());
}

uint8_t* SlotMapping::slot(int number) const {
  return static_cast<uint8_t*>(memory_) + kPage +
         static_cast<size_t>(number - 1) * slot_pages_bytes_;
}

absl::StatusOr<std::shared_ptr<SlotFile>> SlotFile::Create(const std::string& folder, int slots,
                                                           int64_t slot_bytes) {
  v1::SharedMemory request;
  SEER_ASSIGN_OR_RETURN(*request.mutable_name(), NewName());
  request.set_slots(std::clamp(slots, 1, kMostSlots));
  request.set_slot_bytes(slot_bytes);
  const size_t bytes = SlotMapping::BytesOf(request);
  Sweep(folder);
  struct statvfs space {};
  if (statvfs(folder.c_str(), &space) != 0) return Failed("use", folder);
  const uint64_t free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  if (free_bytes < bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        folder, " has ", free_bytes >> 20, " MiB free, ", (bytes >> 20) + 1, " MiB are needed"));
  }
  const std::string path = absl::StrCat(folder, "/", request.name());
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return Failed("make", path);
  absl::Cleanup remove = [&] {
    unlink(path.c_str());
    close(fd);
  };
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) return Failed("lock", path);
  if (fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0) return Failed("get memory for", path);
  void* const memory = Map(fd, bytes);
  if (memory == MAP_FAILED) return Failed("map", path);
  std::move(remove).Cancel();
  return std::shared_ptr<SlotFile>(new SlotFile(path, fd, std::move(request), memory));
}

SlotFile::SlotFile(std::string path, int fd, v1::SharedMemory request, void* memory)
    : path_(std::move(path)), fd_(fd), request_(std::move(request)), mapping_(memory, request_) {}

SlotFile::~SlotFile() { Unlink(); }

void SlotFile::Unlink() {
  if (fd_ < 0) return;
  unlink(path_.c_str());
  close(std::exchange(fd_, -1));
}

absl::StatusOr<std::shared_ptr<const uint8_t>> SlotFile::Take(int slot) {
  uint32_t state = kWritten;
  if (slot < 1 || slot > mapping_.slots() ||
      !mapping_.header().state[slot - 1].compare_exchange_strong(state, kRead)) {
    return absl::InternalError(absl::StrCat("slot ", slot, " of the shared memory was not filled"));
  }
  return std::shared_ptr<const uint8_t>(
      mapping_.slot(slot),
      [self = shared_from_this(), slot](const uint8_t*) { self->GiveBack(slot); });
}

void SlotFile::GiveBack(int slot) {
  SlotMapping::Header& header = mapping_.header();
  header.state[slot - 1] = kFree;
  ++header.given_back;
  Futex(header.given_back, FUTEX_WAKE, 1, nullptr);
}

absl::StatusOr<std::shared_ptr<SlotWriter>> SlotWriter::Open(const std::string& folder,
                                                             const v1::SharedMemory& request) {
  const std::string path = absl::StrCat(folder, "/", request.name());
  const int fd = open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Failed("open", path);
  const absl::Cleanup close_fd = [&] { close(fd); };
  struct stat found {};
  if (fstat(fd, &found) != 0) return Failed("look at", path);
  const size_t bytes = SlotMapping::BytesOf(request);
  // Memory that is all there cannot run out while it is written. Only this user's processes, who
  // may do with this one what they like anyway, can cut such a file short; the guard is for them.
  if (!S_ISREG(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & 0077) != 0 ||
      static_cast<size_t>(found.st_size) != bytes ||
      static_cast<size_t>(found.st_blocks) * 512 < bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a file of ", bytes, " bytes that this user alone may use"));
  }
  void* const memory = Map(fd, bytes);
  if (memory == MAP_FAILED) return Failed("map", path);
  std::shared_ptr<SlotWriter> writer(new SlotWriter(memory, request));
  if (!writer->guard_.armed()) {
    return absl::ResourceExhaustedError(
        "this replica has as many streams by shared memory as it can guard");
  }
  return writer;
}

SlotWriter::SlotWriter(void* memory, const v1::SharedMemory& request)
    : mapping_(memory, request), guard_(memory, mapping_.bytes()) {}

BatchMemory SlotWriter::TryTake() {
  SlotMapping::Header& header = mapping_.header();
  seen_ = header.given_back;
  for (int tried = 0; tried < mapping_.slots(); ++tried) {
    const int slot = next_ + 1;
    next_ = slot % mapping_.slots();
    uint32_t state = kFree;
    if (!header.state[slot - 1].compare_exchange_strong(state, kWritten)) continue;
    return {std::shared_ptr<uint8_t>(shared_from_this(), mapping_.slot(slot)), slot};
  }
  return {};
}

void SlotWriter::WaitForFree(absl::Duration most) const {
  const timespec timeout = absl::ToTimespec(most);
  Futex(mapping_.header().given_back, FUTEX_WAIT, seen_, &timeout);
}

}  // namespace seer
