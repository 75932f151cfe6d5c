#include "bench/kernel_profile.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/profiler_kineto.h>

namespace seer::bench {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

constexpr size_t kRows = 40, kNameWidth = 150;

struct Kernel {
  double seconds = 0;
  int count = 0;
};

const torch::profiler::impl::ProfilerConfig& Config() {
  static const torch::profiler::impl::ProfilerConfig config(
      torch::profiler::impl::ProfilerState::KINETO);
  return config;
}

}  // namespace

void StartKernelProfile() {
  const std::set<ActivityType> activities = {ActivityType::CUDA};
  profiler::prepareProfiler(Config(), activities);
  profiler::enableProfiler(Config(), activities);
}

void PrintKernelProfile(std::FILE* to, int steps) {
  const auto result = profiler::disableProfiler();
  std::map<std::string, Kernel> by_name;
  double total = 0;
  for (const profiler::KinetoEvent& event : result->events()) {
    if (event.deviceType() != c10::DeviceType::CUDA) continue;
    const double seconds = static_cast<double>(event.durationNs()) / 1e9 / steps;
    Kernel& kernel = by_name[event.name()];
    kernel.seconds += seconds;
    ++kernel.count;
    total += seconds;
  }
  std::vector<std::pair<std::string, Kernel>> rows(by_name.begin(), by_name.end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  Kernel rest;
  const auto print = [&](const Kernel& kernel, const std::string& name) {
    std::fprintf(to, "%10.6f %5.1f %% %7.1f  %s\n", kernel.seconds, 100 * kernel.seconds / total,
                 static_cast<double>(kernel.count) / steps, name.substr(0, kNameWidth).c_str());
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i < kRows) {
      print(rows[i].second, rows[i].first);
    } else {
      rest.seconds += rows[i].second.seconds;
      rest.count += rows[i].second.count;
    }
  }
  if (rest.count > 0) print(rest, "(others)");
  std::fprintf(to, "%10.6f in all\n", total);
}

}  // namespace seer::bench
