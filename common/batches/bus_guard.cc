#include "common/batches/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

namespace seer {
namespace {

struct Guarded {
  std::atomic<bool> taken{false}, hit{false};
  std::atomic<uintptr_t> begin{0}, end{0};  // 0: nothing is guarded
};

// Global, as signal handlers belong to the process and can reach nothing else.
std::array<Guarded, 256> guarded;
struct sigaction before;

void OnBusError(int, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Guarded& range : guarded) {
    const uintptr_t begin = range.begin, end = range.end;
    if (begin == 0 || at < begin || at >= end) continue;
    if (mmap(reinterpret_cast<void*>(begin), end - begin, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
      break;
    }
    range.hit = true;
    return;
  }
  sigaction(SIGBUS, &before, nullptr);  // not ours: the access is made again and handled as before
}

void Install() {
  struct sigaction action = {};
  action.sa_sigaction = &OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &before);
}

}  // namespace

BusGuard::BusGuard(void* begin, size_t bytes) {
  static std::once_flag installed;
  std::call_once(installed, &Install);
  for (size_t i = 0; i < guarded.size(); ++i) {
    if (guarded[i].taken.exchange(true)) continue;
    guarded[i].hit = false;
    guarded[i].end = reinterpret_cast<uintptr_t>(begin) + bytes;
    guarded[i].begin = reinterpret_cast<uintptr_t>(begin);
    place_ = static_cast<int>(i);
    return;
  }
}

BusGuard::~BusGuard() {
  if (place_ < 0) return;
  Guarded& range = guarded[static_cast<size_t>(place_)];
  range.begin = 0;
  range.taken = false;
}

bool BusGuard::hit() const { return place_ >= 0 && guarded[static_cast<size_t>(place_)].hit; }

}  // namespace seer
