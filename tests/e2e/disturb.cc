// Preloaded into programs of a test: a wall clock that jumps and a disk that is slow, while the
// test says so. Takes the place of functions of the C library.
#include "tests/e2e/disturb.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>

namespace {

constexpr int64_t kSecond = 1'000'000'000;

const volatile seer::e2e::Disturbance& Now() {
  static const volatile seer::e2e::Disturbance* const mapped = []() {
    static const seer::e2e::Disturbance none;
    const char* const path = std::getenv(seer::e2e::kDisturbVariable);
    const int fd = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return &none;
    void* const memory = ::mmap(nullptr, sizeof(none), PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    return memory == MAP_FAILED ? &none : static_cast<const seer::e2e::Disturbance*>(memory);
  }();
  return *mapped;
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// Of a deadline by the wall clock. Conditions may also wait by the steady one, whose seconds since
// the machine's start are few.
timespec OfTheKernel(const timespec& deadline) {
  constexpr time_t kManyYears = 1'000'000'000;
  if (deadline.tv_sec < kManyYears) return deadline;
  const int64_t time = deadline.tv_sec * kSecond + deadline.tv_nsec - Now().clock_offset_ns;
  return {time / kSecond, time % kSecond};
}

void WaitForTheDisk() {
  const int64_t delay = Now().sync_delay_ns;
  const timespec pause{delay / kSecond, delay % kSecond};
  if (delay > 0) ::nanosleep(&pause, nullptr);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  static auto* const real = Real<int(clockid_t, timespec*)>("clock_gettime");
  const int result = real(clock, out);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  const int64_t now = out->tv_sec * kSecond + out->tv_nsec + Now().clock_offset_ns;
  out->tv_sec = now / kSecond;
  out->tv_nsec = now % kSecond;
  return 0;
}

int gettimeofday(timeval* out, void*) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

// Waits until a time of the wall clock, which is the kernel's, not the one that jumped.
int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const timespec* deadline) {
  static auto* const real =
      Real<int(pthread_cond_t*, pthread_mutex_t*, const timespec*)>("pthread_cond_timedwait");
  const timespec moved = OfTheKernel(*deadline);
  return real(condition, mutex, &moved);
}

// The same of Abseil's waits, and with them gRPC's.
long syscall(long number, ...) noexcept {  // NOLINT: as the C library declares it
  static auto* const real = Real<long(long, ...)>("syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  const auto* const deadline = reinterpret_cast<const timespec*>(a[3]);
  const long until = FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME;
  if (number == SYS_futex && (a[1] & ~FUTEX_PRIVATE_FLAG) == until && deadline != nullptr) {
    const timespec moved = OfTheKernel(*deadline);
    return real(number, a[0], a[1], a[2], &moved, a[4], a[5]);
  }
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int fsync(int fd) {
  static auto* const real = Real<int(int)>("fsync");
  WaitForTheDisk();
  return real(fd);
}

int fdatasync(int fd) {
  static auto* const real = Real<int(int)>("fdatasync");
  WaitForTheDisk();
  return real(fd);
}

}  // extern "C"
