// What the flight recorder costs a collective (entered, waited for, completed), beside the bound:
// the reads of the clock that it cannot do without.
//   flight_bench [collectives=2000000]
#include <cstdio>
#include <cstdlib>

#include "common/base/clock.h"
#include "common/base/flight_recorder.h"

namespace {

template <typename Body>
double NanosecondsEach(int64_t times, Body body) {
  seer::Clock& clock = seer::Clock::Real();
  const absl::Duration start = clock.Steady();
  for (int64_t i = 0; i < times; ++i) body();
  return absl::ToDoubleNanoseconds(clock.Steady() - start) / static_cast<double>(times);
}

}  // namespace

int main(int argc, char** argv) {
  using seer::CollectiveKind;
  const int64_t times = argc > 1 ? std::atoll(argv[1]) : 2'000'000;
  const auto memory = seer::FlightMemory::Create();
  if (!memory.ok()) return 1;
  const auto recorder = seer::FlightRecorder::Open((*memory)->path());
  if (!recorder.ok()) return 1;
  const int group = (*recorder)->AddGroup("world", 0, 2);
  const double recorded = NanosecondsEach(times, [&] {
    const int64_t number = (*recorder)->Entered(group, CollectiveKind::kAllReduce, 8);
    const seer::Doing before = (*recorder)->BeginWait(group, number, CollectiveKind::kAllReduce);
    (*recorder)->Completed(group, number, CollectiveKind::kAllReduce);
    (*recorder)->Begin(before);
  });
  int64_t sum = 0;
  const double clocks = NanosecondsEach(times, [&] {
    for (int i = 0; i < 4; ++i) sum += absl::ToInt64Nanoseconds(seer::Clock::Real().Steady());
  });
  std::printf("recorded %.0f ns a collective, four reads of the clock %.0f ns: %.2f times (%lld)\n",
              recorded, clocks, recorded / clocks, static_cast<long long>(sum % 10));
  return 0;
}
